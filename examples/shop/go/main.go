// The shop on net/http. ../README.md has the API; ./run.sh --shop go starts it.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/redis/go-redis/v9"
)

const cartLimit = 100

var (
	goods    = []string{"tea", "coffee", "honey", "cup"}
	userName = regexp.MustCompile(`^[A-Za-z]{1,20}$`)
	client   = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Getenv("REDIS_PORT")})
	gate     *sessiongate.Gate
)

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
