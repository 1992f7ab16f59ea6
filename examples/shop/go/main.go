// The shop on net/http. ../README.md has the API; ./run.sh --shop go starts it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/redis/go-redis/v9"
)

const cartLimit = 100

var (
	goods    = []string{"tea", "coffee", "honey", "cup"}
	userName = regexp.MustCompile(`^[A-Za-z]{1,20}$`)
	counter  = regexp.MustCompile(`(?m)^(process_id|sessiongate_\w+):(\d+)\r?$`)
	client   = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Getenv("REDIS_PORT")})
	gate     *sessiongate.Gate
)

type object map[string]any // of JSON

// failure is an answer that is no success.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

// api is a handler of the request's session and of the object that a POST has sent; what it returns is the
// answer, as JSON.
type api func(r *http.Request, session *sessiongate.Session, data object) (any, error)

func (handle api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := handle.answer(w, r)
	status, refused := http.StatusOK, failure{}
	switch {
	case errors.As(err, &refused):
		status, answer = refused.status, object{"error": refused.text}
	case errors.Is(err, sessiongate.ErrNoSession):
		status, answer = http.StatusConflict, object{"error": "your session has ended meanwhile"}
	case err != nil:
		log.Print(err)
		status, answer = http.StatusServiceUnavailable, object{"error": "there are no sessions now"}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (handle api) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	var data object
	if r.Method == http.MethodPost {
		// Nor can another site's form send this type, so no request of another site does anything here.
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return nil, failure{http.StatusUnsupportedMediaType, "send application/json"}
		}
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1000)).Decode(&data) != nil {
			return nil, failure{http.StatusBadRequest, "this body is not read"}
		}
	}
	session, err := sessiongate.FromContext(r.Context())
	if err != nil {
		return nil, err
	}
	return handle(r, session, data)
}

func text(session *sessiongate.Session, name string) (value string) {
	_, _ = session.Get(name, &value) // what is no text counts as none
	return value
}

// cartOf counts the goods in the cart: each is a payload of its own, so that parallel requests lose none.
func cartOf(session *sessiongate.Session) (cart map[string]int, size int) {
	cart = map[string]int{}
	for _, name := range session.Names() {
		if strings.HasPrefix(name, "item:") {
			cart[text(session, name)]++
			size++
		}
	}
	return cart, size
}

func showSession(r *http.Request, session *sessiongate.Session, _ object) (any, error) {
	cart, _ := cartOf(session)
	shown := object{"user": nil, "cart": cart, "flash": nil, "ttl": nil, "token": nil}
	if session.IsNew() {
		return shown, nil
	}
	if user := text(session, "user"); user != "" {
		shown["user"] = user
	}
	var flash string // taken: of all who ask, one gets it
	if text(session, "flash") != "" {
		if taken, err := session.Take(r.Context(), "flash", &flash); err != nil {
			return nil, err
		} else if taken {
			shown["flash"] = flash
		}
	}
	ttl, err := gate.TTL(r.Context(), session.Token())
	shown["ttl"], shown["token"] = int(ttl.Seconds()), session.Token()[:10]
	return shown, err
}

func showPayloads(_ *http.Request, session *sessiongate.Session, _ object) (any, error) {
	payloads := []object{}
	for _, name := range session.Names() {
		data, _ := session.Bytes(name)
		payloads = append(payloads, object{"name": name, "bytes": len(data)})
	}
	return payloads, nil
}

func add(r *http.Request, session *sessiongate.Session, data object) (any, error) {
	item, _ := data["item"].(string)
	if !slices.Contains(goods, item) {
		return nil, failure{http.StatusBadRequest, "item is one of " + strings.Join(goods, ", ")}
	}
	if _, size := cartOf(session); size >= cartLimit {
		return nil, failure{http.StatusConflict, "the cart is full"}
	}
	if data["slow"] == true {
		if session.IsNew() {
			return object{"answer": "NOSESSION"}, nil
		}
		time.Sleep(time.Second) // for another request, between what this one has read and what it writes
	}
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	if err := session.Set("item:"+hex.EncodeToString(id), item); err != nil {
		return nil, err
	}
	if err := session.Save(r.Context()); errors.Is(err, sessiongate.ErrNoSession) { // it was ended meanwhile
		return object{"answer": "NOSESSION"}, nil
	} else if err != nil {
		return nil, err
	}
	return object{"answer": "OK"}, nil
}

func logIn(r *http.Request, session *sessiongate.Session, data object) (any, error) {
	user, _ := data["user"].(string)
	switch {
	case !userName.MatchString(user):
		return nil, failure{http.StatusBadRequest, "user is 1 to 20 letters"}
	case data["password"] != "demo":
		return nil, failure{http.StatusUnauthorized, "the password is demo"}
	case text(session, "user") != "":
		return nil, failure{http.StatusConflict, "log out first"}
	}
	agent := r.UserAgent()
	values := map[string]string{"user": user, "agent": agent[:min(len(agent), 200)], "flash": "Welcome, " + user}
	for name, value := range values {
		if err := session.Set(name, value); err != nil {
			return nil, err
		}
	}
	// A new token, a session of the user's; the cart comes along.
	return object{"answer": "OK"}, session.Login(r.Context(), "user:"+user, 5)
}

func logOut(r *http.Request, session *sessiongate.Session, _ object) (any, error) {
	return object{"answer": "OK"}, session.End(r.Context())
}

// ofUser is an api for those who are logged in: it gets the owner of their sessions.
func ofUser(handle func(r *http.Request, session *sessiongate.Session, owner string) (any, error)) api {
	return func(r *http.Request, session *sessiongate.Session, _ object) (any, error) {
		user := text(session, "user")
		if user == "" {
			return nil, failure{http.StatusUnauthorized, "log in first"}
		}
		return handle(r, session, "user:"+user)
	}
}

func showDevices(r *http.Request, session *sessiongate.Session, owner string) (any, error) {
	devices, err := gate.Sessions(r.Context(), owner, session.Token())
	shown := []object{}
	for _, device := range devices {
		shown = append(shown, object{"id": device.ID, "current": device.Current,
			"started": device.Started.UnixMilli(), "agent": json.RawMessage(device.Payloads["agent"])})
	}
	return shown, err
}

func endDevice(r *http.Request, _ *sessiongate.Session, owner string) (any, error) {
	ended, err := gate.EndSession(r.Context(), owner, r.PathValue("id"))
	if err == nil && !ended {
		err = failure{http.StatusNotFound, "you have no such device"}
	}
	return object{"answer": "OK"}, err
}

func endOthers(r *http.Request, session *sessiongate.Session, owner string) (any, error) {
	ended, err := gate.EndAll(r.Context(), owner, session.Token())
	return object{"ended": ended}, err
}

// counters is what Redis counts of sessions, and the number of its process.
func counters(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	for _, section := range []string{"server", "sessiongate"} {
		info, err := client.Info(ctx, section).Result()
		if err != nil {
			return nil, err
		}
		for _, line := range counter.FindAllStringSubmatch(info, -1) {
			counts[strings.TrimPrefix(line[1], "sessiongate_")], _ = strconv.Atoi(line[2])
		}
	}
	return counts, nil
}

func showServer(r *http.Request, _ *sessiongate.Session, _ object) (any, error) {
	return counters(r.Context())
}

func kill(r *http.Request, _ *sessiongate.Session, _ object) (any, error) {
	runner, err := strconv.Atoi(os.Getenv("RUN_SH_PID"))
	if err != nil {
		return nil, failure{http.StatusNotFound, "only run.sh can start Redis again"}
	}
	before, err := counters(r.Context())
	if err != nil {
		return nil, err
	}
	if err := syscall.Kill(runner, syscall.SIGUSR1); err != nil { // asks run.sh for kill -9 and a start
		return nil, err
	}
	for tries := 0; tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		after, err := counters(r.Context())
		if err == nil && after["process_id"] != before["process_id"] {
			return object{"before": before["process_id"], "after": after["process_id"]}, nil
		}
	}
	return nil, failure{http.StatusServiceUnavailable, "Redis is not back after ten seconds"}
}

func main() {
	var err error
	gate, err = sessiongate.New(client, sessiongate.Options{
		SignKeys: [][]byte{[]byte(os.Getenv("SIGN_KEY"))},
		TTL:      10 * time.Minute,
		Refresh:  5 * time.Second,
		Cookie:   sessiongate.Cookie{Insecure: true}, // not where there is TLS
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir("../page")))
	mux.Handle("GET /api/session", api(showSession))
	mux.Handle("GET /api/payloads", api(showPayloads))
	mux.Handle("POST /api/cart", api(add))
	mux.Handle("POST /api/login", api(logIn))
	mux.Handle("POST /api/logout", api(logOut))
	mux.Handle("GET /api/devices", ofUser(showDevices))
	mux.Handle("POST /api/devices/end-others", ofUser(endOthers))
	mux.Handle("POST /api/devices/{id}/end", ofUser(endDevice))
	mux.Handle("GET /api/server", api(showServer))
	mux.Handle("POST /api/kill", api(kill))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), gate.Handler(mux)))
}
