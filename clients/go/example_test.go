package sessiongate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// A Gate has a method for each command.
func Example() {
	address := lend.Address() // the server's, such as "127.0.0.1:6379"

	client := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("my-secret-sign-key")}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	token, err := gate.Start(ctx, sessiongate.Life{TTL: time.Hour, Payloads: map[string][]byte{"user": []byte("Ada")}})
	if err != nil {
		log.Fatal(err)
	}
	user, err := gate.PGet(ctx, token, "user")
	fmt.Println(string(user), err)
	fmt.Println(gate.End(ctx, token))
	_, err = gate.PGet(ctx, token, "user")
	fmt.Println(errors.Is(err, sessiongate.ErrNoSession))
	// Output:
	// Ada <nil>
	// <nil>
	// true
}

// The session of each request: loaded when it is asked for, saved before the header goes out.
func ExampleGate_Handler() {
	address := lend.Address() // the server's, such as "127.0.0.1:6379"

	client := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{
		SignKeys: [][]byte{[]byte("my-secret-sign-key")},
		Cookie:   sessiongate.Cookie{Insecure: true}, // for plain HTTP, in development
	})
	if err != nil {
		log.Fatal(err)
	}
	visits := func(w http.ResponseWriter, r *http.Request) {
		session, err := sessiongate.FromContext(r.Context())
		if err != nil {
			http.Error(w, "no sessions now", http.StatusServiceUnavailable)
			return
		}
		var n int
		if _, err := session.Get("visits", &n); err != nil {
			n = 0
		}
		_ = session.Set("visits", n+1)
		_, _ = fmt.Fprintln(w, "visit", n+1)
	}
	server := httptest.NewServer(gate.Handler(http.HandlerFunc(visits)))
	defer server.Close()

	jar, _ := cookiejar.New(nil)
	browser := http.Client{Jar: jar}
	for i := 0; i < 3; i++ {
		response, err := browser.Get(server.URL)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Print(string(body))
	}
	browser.CloseIdleConnections()
	// Output:
	// visit 1
	// visit 2
	// visit 3
}

// Without net/http: the token is kept by the program.
func ExampleGate_Session() {
	client := redis.NewClient(&redis.Options{Addr: lend.Address()})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("my-secret-sign-key")}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	session, err := gate.Session(ctx, "") // a new one
	if err != nil {
		log.Fatal(err)
	}
	_ = session.Set("cart", []string{"apples"})
	if err := session.Save(ctx); err != nil {
		log.Fatal(err)
	}

	session, err = gate.Session(ctx, session.Token())
	if err != nil {
		log.Fatal(err)
	}
	var cart []string
	found, err := session.Get("cart", &cart)
	fmt.Println(found, err, cart, session.Names())
	// Output: true <nil> [apples] [cart]
}

// At login the session becomes the user's, with a new token; "log me out everywhere" ends them all.
func ExampleSession_Login() {
	client := redis.NewClient(&redis.Options{Addr: lend.Address()})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("my-secret-sign-key")}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	session, err := gate.Session(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	_ = session.Set("agent", "phone")
	if err := session.Login(ctx, "user:42", 0); err != nil {
		log.Fatal(err)
	}

	devices, err := gate.Sessions(ctx, "user:42", session.Token())
	for _, device := range devices {
		fmt.Println(string(device.Payloads["agent"]), device.Current, err)
	}
	ended, err := gate.EndAll(ctx, "user:42")
	fmt.Println(ended, err)
	// Output:
	// "phone" true <nil>
	// 1 <nil>
}

// The API of the driver that the first SessionGate had.
func ExampleNewSessiongate() {
	sg, err := sessiongate.NewSessiongate(&sessiongate.Config{
		SignKey: []byte("my-secret-sign-key"),
		Addr:    lend.Address(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sg.Close() }()
	token, err := sg.Start(300)
	if err != nil {
		log.Fatal(err)
	}
	if err := sg.PSet(token, []byte("user"), []byte("Ada")); err != nil {
		log.Fatal(err)
	}
	user, err := sg.PGet(token, []byte("user"))
	fmt.Println(string(user), err)
	fmt.Println(sg.PDel(token, []byte("user")), sg.Expire(token, 600), sg.End(token))
	// Output:
	// Ada <nil>
	// <nil> <nil> <nil>
}

// Two requests that change the same value take turns.
func ExampleSession_Lock() {
	client := redis.NewClient(&redis.Options{Addr: lend.Address()})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("my-secret-sign-key")}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	session, err := gate.Session(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	_ = session.Set("items", 1)
	err = session.Lock(ctx, "cart", 10*time.Second, func(context.Context) error {
		var items int
		if _, err := session.Get("items", &items); err != nil {
			return err
		}
		return session.Set("items", items+1)
	})
	var items int
	_, _ = session.Get("items", &items)
	fmt.Println(items, err)
	// Output: 2 <nil>
}
