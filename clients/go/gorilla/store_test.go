package gorilla

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"
)

type flash struct {
	Kind    int
	Message string
}

type keyType int

func TestMain(m *testing.M) {
	gob.Register(flash{})
	gob.Register(keyType(0))
	gob.Register(map[string]int{})
	gob.Register(time.Time{})
	lend.Main(m)
}

var ctx = context.Background()

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB) (*Store, *sessiongate.Gate) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: lend.Shared(t).Addr(0)})
	t.Cleanup(func() { _ = client.Close() })
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("gorilla " + t.Name())}})
	noError(t, err)
	return NewStore(gate), gate
}

// visit makes one request with that cookie; it returns the response's Set-Cookie, or the old cookie
// where it has none.
func visit(t testing.TB, store sessions.Store, cookie string, call func(s *sessions.Session)) string {
	t.Helper()
	cookies := send(t, store, cookie, call)
	if len(cookies) == 0 {
		return cookie
	}
	return cookies[0]
}

func send(t testing.TB, store sessions.Store, cookie string, call func(s *sessions.Session)) []string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
	}
	w := httptest.NewRecorder()
	s, err := store.Get(r, "session-key")
	noError(t, err)
	call(s)
	noError(t, sessions.Save(r, w))
	return w.Header().Values("Set-Cookie")
}

func wantFlashes(t testing.TB, s *sessions.Session, want []any, vars ...string) {
	t.Helper()
	if got := s.Flashes(vars...); !reflect.DeepEqual(got, want) {
		t.Errorf("flashes %v instead of %v", got, want)
	}
}

// The cases of gorilla's own TestFlashes.
func TestFlashesAreThereOnce(t *testing.T) {
	store, _ := newStore(t)
	var none []any
	cookie := visit(t, store, "", func(s *sessions.Session) {
		wantFlashes(t, s, none)
		s.AddFlash("foo")
		s.AddFlash("bar")
		s.AddFlash("baz", "custom_key")
	})
	cookie = visit(t, store, cookie, func(s *sessions.Session) {
		wantFlashes(t, s, []any{"foo", "bar"})
		wantFlashes(t, s, none)
		wantFlashes(t, s, []any{"baz"}, "custom_key")
		wantFlashes(t, s, none, "custom_key")
	})
	cookie = visit(t, store, cookie, func(s *sessions.Session) {
		wantFlashes(t, s, none)
		s.AddFlash(&flash{42, "foo"})
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		wantFlashes(t, s, []any{flash{42, "foo"}})
	})
}

func TestOneSessionForTheWholeRequest(t *testing.T) {
	store, _ := newStore(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	first, err := store.Get(r, "session-key")
	noError(t, err)
	first.Values["test"] = "value"
	again, err := store.Get(r.WithContext(r.Context()), "session-key") // gorilla's case of a shallow copy
	noError(t, err)
	if again.Values["test"] != "value" {
		t.Error("another session")
	}
	if _, err := store.Get(r, "session:key"); err == nil {
		t.Error("a name that no cookie can have was taken")
	}
}

func TestASessionThatTheStoreDidNotMakeIsSaved(t *testing.T) {
	store, _ := newStore(t) // gorilla's TestCookieStoreMapPanic
	s := sessions.NewSession(store, "hello")
	s.Values["data"] = "hello-world"
	w := httptest.NewRecorder()
	noError(t, s.Save(httptest.NewRequest(http.MethodGet, "/", nil), w))
	if cookie := w.Header().Get("Set-Cookie"); !strings.HasPrefix(cookie, "hello=v2.") {
		t.Errorf("%q", cookie)
	}
}

func TestValuesOfEveryTypeComeBackAsTheyWere(t *testing.T) {
	store, _ := newStore(t)
	values := map[any]any{
		"string": "Ада <b>", "empty": "", "bytes in a string": "\xff\x00", "int": -42, "bool": true, "nil": nil,
		"float": 2.5, "int64": int64(7), "bytes": []byte{0, 255}, "struct": flash{1, "x"}, "time": time.Unix(1, 2).UTC(),
		"map": map[string]int{"a": 1, "b": 2, "c": 3}, 7: "int key", keyType(7): "typed key", "": "empty key",
		"\x00nul": "NUL key", strings.Repeat("n", 120) + "\xff": "key of bytes",
	}
	cookie := visit(t, store, "", func(s *sessions.Session) {
		for key, value := range values {
			s.Values[key] = value
		}
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		delete(s.Values, loadedKey{})
		if !reflect.DeepEqual(s.Values, values) {
			t.Errorf("%v", s.Values)
		}
	})
}

func TestValuesThatCannotBeStoredAreAnError(t *testing.T) {
	store, _ := newStore(t)
	for what, entry := range map[string][2]any{
		"a channel":          {"a", make(chan int)},
		"a type unknown":     {"a", struct{ X int }{1}},
		"a key too long":     {strings.Repeat("n", 300), "x"},
		"a key not for gobs": {make(chan int), "x"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		s, err := store.Get(r, "session-key")
		noError(t, err)
		s.Values[entry[0]] = entry[1]
		w := httptest.NewRecorder()
		if err := s.Save(r, w); err == nil || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRequestsThatChangeDifferentValuesBothWin(t *testing.T) {
	store, _ := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) {
		s.Values["a"], s.Values["b"], s.Values["c"] = 1, 1, 1
		s.Values["map"] = map[string]int{"x": 1, "y": 2, "z": 3}
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		visit(t, store, cookie, func(other *sessions.Session) {
			other.Values["b"] = 2
			other.Values["map"].(map[string]int)["x"] = 9 // a nested change
		})
		s.Values["a"] = 2
		delete(s.Values, "c")
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		delete(s.Values, loadedKey{})
		want := map[any]any{"a": 2, "b": 2, "map": map[string]int{"x": 9, "y": 2, "z": 3}}
		if !reflect.DeepEqual(s.Values, want) {
			t.Errorf("%v", s.Values)
		}
	})
}

func TestMaxAge(t *testing.T) {
	store, gate := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) {
		s.Values["a"] = 1
		s.Options.MaxAge = 3600
	})
	for _, attribute := range []string{"Max-Age=3600", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("%s is not in %q", attribute, cookie)
		}
	}
	var token string
	cookies := send(t, store, cookie, func(s *sessions.Session) {
		token = s.ID
		s.Options.MaxAge = -1
	})
	if len(cookies) != 1 || !strings.HasPrefix(cookies[0], "session-key=;") || !strings.Contains(cookies[0], "Max-Age=0") {
		t.Errorf("%q", cookies)
	}
	if _, err := gate.TTL(ctx, token); !errors.Is(err, sessiongate.ErrNoSession) {
		t.Errorf("it was not ended: %v", err)
	}
}

func TestAnEmptiedSessionIsEnded(t *testing.T) {
	store, gate := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	var token string
	cookies := send(t, store, cookie, func(s *sessions.Session) {
		token = s.ID
		delete(s.Values, "a")
	})
	if _, err := gate.TTL(ctx, token); !errors.Is(err, sessiongate.ErrNoSession) || len(cookies) != 1 || !strings.Contains(cookies[0], "Max-Age=0") {
		t.Errorf("%v, cookies %q", err, cookies)
	}
	if cookies := send(t, store, "", func(*sessions.Session) {}); len(cookies) != 0 {
		t.Errorf("a new session without values: %q", cookies)
	}
}

func TestASaveAfterALogoutRestoresNothing(t *testing.T) {
	store, gate := newStore(t)
	for what, change := range map[string]func(s *sessions.Session){
		"changed":  func(s *sessions.Session) { s.Values["a"] = 2 },
		"replaced": func(s *sessions.Session) { s.Values = map[any]any{"b": 1} },
	} {
		cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
		s, err := store.Get(r, "session-key")
		noError(t, err)
		token := s.ID
		noError(t, gate.End(ctx, token))
		change(s)
		w := httptest.NewRecorder()
		if err := s.Save(r, w); !errors.Is(err, sessiongate.ErrNoSession) || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v %q", what, err, w.Header())
		}
		if _, err := gate.TTL(ctx, token); !errors.Is(err, sessiongate.ErrNoSession) {
			t.Errorf("%s: it lives again: %v", what, err)
		}
	}
}

func TestValuesThatWereReplacedAsAWhole(t *testing.T) {
	store, _ := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"], s.Values["b"] = 1, 2 })
	visit(t, store, cookie, func(s *sessions.Session) { s.Values = map[any]any{"b": 3} })
	visit(t, store, cookie, func(s *sessions.Session) {
		delete(s.Values, loadedKey{})
		if !reflect.DeepEqual(s.Values, map[any]any{"b": 3}) {
			t.Errorf("%v", s.Values)
		}
	})
}

func TestABrokenPayloadHidesNoOtherAndStays(t *testing.T) {
	store, gate := newStore(t)
	token, err := gate.Start(ctx, sessiongate.Life{Payloads: map[string][]byte{
		"good": []byte("1.5"), "broken": []byte("{"), "gob": {0, 1, 2}, "list": []byte(`["a"]`)}})
	noError(t, err)
	visit(t, store, "session-key="+token, func(s *sessions.Session) {
		if s.Values["good"] != 1.5 || !reflect.DeepEqual(s.Values["list"], []any{"a"}) || len(s.Values) != 3 {
			t.Errorf("%v", s.Values)
		}
		s.Values["more"] = true
	})
	all, err := gate.PGetAll(ctx, token)
	if err != nil || len(all) != 5 || string(all["broken"]) != "{" || string(all["list"]) != `["a"]` {
		t.Errorf("%q %v", all, err)
	}
}

func TestALoginThroughTheSessionBelow(t *testing.T) {
	for what, login := range map[string]func(s *sessiongate.Session) error{
		"Rotate": func(s *sessiongate.Session) error { return s.Rotate(ctx) },
		"Login":  func(s *sessiongate.Session) error { return s.Login(ctx, "owner:gorilla", 0) },
	} {
		store, gate := newStore(t)
		cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["cart"] = 3 })
		var before string
		after := visit(t, store, cookie, func(s *sessions.Session) {
			before = s.ID
			visit(t, store, cookie, func(other *sessions.Session) { other.Values["late"] = true })
			noError(t, login(Of(s)))
			s.Values["user"] = "ada"
		})
		visit(t, store, after, func(s *sessions.Session) {
			if s.ID == before || s.Values["cart"] != 3 || s.Values["user"] != "ada" || s.Values["late"] != true {
				t.Errorf("%s: %v", what, s.Values)
			}
		})
		if _, err := gate.TTL(ctx, before); !errors.Is(err, sessiongate.ErrNoSession) {
			t.Errorf("%s: the old token: %v", what, err)
		}
	}
}

func TestForgedAndForeignCookiesAreNewSessions(t *testing.T) {
	store, _ := newStore(t)
	for _, cookie := range []string{"session-key=v2.forged", "session-key=", "other=x",
		fmt.Sprintf("session-key=v1.3aKq9xZtB07LmPdW.%064d", 0)} {
		visit(t, store, cookie, func(s *sessions.Session) {
			if !s.IsNew || s.ID != "" || len(s.Values) != 1 {
				t.Errorf("%s: %v", cookie, s.Values)
			}
		})
	}
}

func TestWhatCouldNotBeLoadedIsNotOverwritten(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("k")}})
	noError(t, err)
	token, err := gate.Mint()
	noError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "session-key="+token)
	s, err := NewStore(gate).Get(r, "session-key")
	if err == nil || s == nil {
		t.Fatalf("%v %v", s, err)
	}
	s.Values["a"] = 1
	w := httptest.NewRecorder()
	if again := s.Save(r, w); !errors.Is(again, err) || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("saved: %v %q", again, w.Header())
	}
}

func TestSessionsOfTheFormerStoreLiveOut(t *testing.T) {
	store, gate := newStore(t)
	former := sessions.NewCookieStore([]byte("the former store's secret key"))
	cookie := visit(t, former, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	store.Legacy = former
	changed := visit(t, store, cookie, func(s *sessions.Session) {
		if s.Values["a"] != 1 || s.IsNew || Of(s) != nil {
			t.Errorf("%v", s.Values)
		}
		s.Values["a"] = 2
	})
	visit(t, former, changed, func(s *sessions.Session) {
		if !reflect.DeepEqual(s.Values, map[any]any{"a": 2}) {
			t.Errorf("saved in the former store: %v", s.Values)
		}
	})
	directory := sessions.NewFilesystemStore(t.TempDir(), []byte("the former store's secret key"))
	directory.Options.MaxAge = 3600
	filed := visit(t, directory, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	store.Legacy = directory
	visit(t, store, filed, func(s *sessions.Session) { s.Values = map[any]any{"b": 2} }) // as gin's Clear does
	visit(t, directory, filed, func(s *sessions.Session) {
		if !reflect.DeepEqual(s.Values, map[any]any{"b": 2}) {
			t.Errorf("cleared in the former store: %v", s.Values)
		}
	})
	store.Legacy = former
	gone := visit(t, store, changed, func(s *sessions.Session) { s.Options.MaxAge = -1 })
	if !strings.Contains(gone, "Max-Age=0") {
		t.Errorf("it did not end: %q", gone)
	}
	fresh := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 3 })
	token := strings.TrimPrefix(strings.Split(fresh, ";")[0], "session-key=")
	if _, ok := gate.Verify(token); !ok {
		t.Errorf("a new session is not SessionGate's: %q", fresh)
	}
}

// meanwhile makes a request which begins with that cookie and saves after a login has rotated the
// session; it returns the cookies of its response.
func meanwhile(t testing.TB, store *Store, gate *sessiongate.Gate, cookie string, call func(s *sessions.Session)) ([]string, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
	s, err := store.Get(r, "session-key")
	noError(t, err)
	_, err = gate.Rotate(ctx, s.ID, sessiongate.Rotation{})
	noError(t, err)
	call(s)
	w := httptest.NewRecorder()
	err = s.Save(r, w)
	return w.Header().Values("Set-Cookie"), err
}

func TestALateRequestLeavesTheCookieOfALoginAlone(t *testing.T) {
	for what, c := range map[string]struct {
		call func(s *sessions.Session)
		want error
	}{
		"unchanged":           {func(*sessions.Session) {}, nil},
		"unchanged, MaxAge":   {func(s *sessions.Session) { s.Options.MaxAge = 3600 }, nil},
		"unchanged, its path": {func(s *sessions.Session) { s.Options.Path = "/shop" }, nil},
		"changed":             {func(s *sessions.Session) { s.Values["a"] = 2 }, sessiongate.ErrNoSession},
		"emptied":             {func(s *sessions.Session) { delete(s.Values, "a") }, sessiongate.ErrNoSession},
	} {
		store, gate := newStore(t)
		cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
		if cookies, err := meanwhile(t, store, gate, cookie, c.call); len(cookies) != 0 || !errors.Is(err, c.want) {
			t.Errorf("%s: %q %v", what, cookies, err)
		}
	}
}

func TestACookieIsSetAgainWhereItSaysSomethingNew(t *testing.T) {
	store, _ := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	for i := 1; i < 3; i++ { // unchanged, then changed
		if cookies := send(t, store, cookie, func(s *sessions.Session) { s.Values["a"] = i }); len(cookies) != 0 {
			t.Errorf("the same cookie again: %q", cookies)
		}
	}
	for _, change := range []func(s *sessions.Session){
		func(s *sessions.Session) { s.Options.MaxAge = 3600 },
		func(s *sessions.Session) { s.Options.Path = "/shop" },
		func(s *sessions.Session) { noError(t, Of(s).Rotate(ctx)) },
	} {
		cookies := send(t, store, cookie, change)
		if len(cookies) != 1 || !strings.HasPrefix(cookies[0], "session-key=v2.") {
			t.Fatalf("%q", cookies)
		}
		cookie = cookies[0]
	}
	store.Options.MaxAge = 3600
	if cookies := send(t, store, cookie, func(*sessions.Session) {}); len(cookies) != 1 {
		t.Errorf("its age is not renewed: %q", cookies)
	}
}

func TestALockIsNoValue(t *testing.T) {
	store, gate := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	visit(t, store, cookie, func(s *sessions.Session) {
		below := Of(s)
		noError(t, below.Lock(ctx, "a", 30*time.Second, func(context.Context) error {
			visit(t, store, cookie, func(other *sessions.Session) {
				if len(other.Values) != 2 {
					t.Errorf("%v", other.Values)
				}
				other.Values = map[any]any{"b": 1, "\x00lock:a": 2}
			})
			_, err := gate.PGet(ctx, below.Token(), "\x00lock:a")
			return err
		}))
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		if s.Values["b"] != 1 || s.Values["\x00lock:a"] != 2 {
			t.Errorf("%v", s.Values)
		}
	})
}

func TestParallelRequestsLoseNothing(t *testing.T) {
	store, gate := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["a"] = 1 })
	var all sync.WaitGroup
	for i := 0; i < 20; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
			s, err := store.Get(r, "session-key")
			if err == nil {
				s.Values[i] = i
				err = s.Save(r, httptest.NewRecorder())
			}
			if err != nil {
				t.Error(err)
			}
		}(i)
	}
	all.Wait()
	token := strings.TrimPrefix(strings.Split(cookie, ";")[0], "session-key=")
	if payloads, err := gate.PGetAll(ctx, token); err != nil || len(payloads) != 21 {
		t.Errorf("%d %v", len(payloads), err)
	}
}

func TestALoginTakesOverWhatOthersChanged(t *testing.T) {
	for what, login := range map[string]func(s *sessiongate.Session) error{
		"Login": func(s *sessiongate.Session) error { return s.Login(ctx, "owner:gorilla", 0) },
		"Lock": func(s *sessiongate.Session) error {
			return s.Lock(ctx, "x", 30*time.Second, func(context.Context) error { return nil })
		},
	} {
		store, _ := newStore(t)
		cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["cart"], s.Values["gone"] = 3, 1 })
		after := visit(t, store, cookie, func(s *sessions.Session) {
			visit(t, store, cookie, func(other *sessions.Session) {
				other.Values["cart"] = 4
				delete(other.Values, "gone")
			})
			noError(t, login(Of(s)))
			s.Values["user"] = "ada"
		})
		visit(t, store, after, func(s *sessions.Session) {
			delete(s.Values, loadedKey{})
			if !reflect.DeepEqual(s.Values, map[any]any{"cart": 4, "user": "ada"}) {
				t.Errorf("%s: %v", what, s.Values)
			}
		})
	}
}

func TestALogoutThroughTheSessionBelowLeavesNothing(t *testing.T) {
	store, gate := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["user"] = "ada" })
	ended := visit(t, store, cookie, func(s *sessions.Session) { noError(t, Of(s).End(ctx)) })
	if !strings.HasPrefix(ended, "session-key=;") {
		t.Errorf("it goes on: %q", ended)
	}
	cookie = visit(t, store, "", func(s *sessions.Session) { s.Values["user"] = "ada" })
	after := visit(t, store, cookie, func(s *sessions.Session) {
		noError(t, Of(s).End(ctx))
		s.AddFlash("bye")
	})
	token := strings.TrimPrefix(strings.Split(after, ";")[0], "session-key=")
	if payloads, err := gate.PGetAll(ctx, token); err != nil || len(payloads) != 1 || after == cookie {
		t.Errorf("%q %v", payloads, err)
	}
}

func TestALockGivesValuesAfresh(t *testing.T) {
	store, _ := newStore(t)
	cookie := visit(t, store, "", func(s *sessions.Session) { s.Values["n"] = 0 })
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
			s, err := store.Get(r, "session-key")
			for j := 0; j < 5 && err == nil; j++ {
				err = Lock(ctx, s, "n", 30*time.Second, func(context.Context) error {
					s.Values["n"] = s.Values["n"].(int) + 1
					return nil
				})
			}
			if err == nil {
				err = s.Save(r, httptest.NewRecorder())
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	visit(t, store, cookie, func(s *sessions.Session) {
		if s.Values["n"] != 40 {
			t.Errorf("%v", s.Values)
		}
		failed := errors.New("failed")
		s.Values["before"] = true
		if err := Lock(ctx, s, "n", 30*time.Second, func(context.Context) error {
			s.Values["n"] = 99
			return failed
		}); err != failed || s.Values["n"] != 40 || s.Values["before"] != true {
			t.Errorf("%v %v", err, s.Values)
		}
	})
	visit(t, store, cookie, func(s *sessions.Session) {
		delete(s.Values, loadedKey{})
		if !reflect.DeepEqual(s.Values, map[any]any{"n": 40, "before": true}) {
			t.Errorf("%v", s.Values)
		}
	})
	foreign := sessions.NewSession(store, "x")
	if err := Lock(ctx, foreign, "n", time.Second, nil); !errors.Is(err, sessiongate.ErrBadArgument) {
		t.Error(err)
	}
}
