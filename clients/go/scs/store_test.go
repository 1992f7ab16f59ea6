package scs

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	gob.Register(map[string]int{})
	lend.Main(m, "memstore.(*MemStore).startCleanup") // scs.New starts one, and never stops it
}

var ctx = context.Background()

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newGate(t testing.TB, keys ...string) (*sessiongate.Gate, *redis.Client) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: lend.Shared(t).Addr(0)})
	t.Cleanup(func() { _ = client.Close() })
	options := sessiongate.Options{}
	for _, key := range append(keys, "scs "+t.Name()) {
		options.SignKeys = append(options.SignKeys, []byte(key))
	}
	gate, err := sessiongate.New(client, options)
	noError(t, err)
	return gate, client
}

func encoded(t testing.TB, values map[string]interface{}) []byte {
	t.Helper()
	data, err := codec{}.Encode(time.Now().Add(time.Hour), values)
	noError(t, err)
	return data
}

func (s *store) want(t testing.TB, token string, want map[string]interface{}) {
	t.Helper()
	data, found, err := s.Find(token)
	if err != nil || found != (want != nil) {
		t.Fatalf("found %v, %v", found, err)
	}
	if !found {
		return
	}
	if _, values, err := (codec{}).Decode(data); err != nil || !reflect.DeepEqual(values, want) {
		t.Errorf("%v %v", values, err)
	}
}

// The cases that scs has for its own stores.
func TestAStoreFindsWhatWasCommitted(t *testing.T) {
	gate, _ := newGate(t)
	s := &store{gate, scs.New()}
	s.want(t, "missing_session_token", nil)
	noError(t, s.Commit("session_token", encoded(t, map[string]interface{}{"a": 1}), time.Now().Add(time.Minute)))
	s.want(t, "session_token", map[string]interface{}{"a": 1})
	noError(t, s.Commit("session_token", encoded(t, map[string]interface{}{"b": "2"}), time.Now().Add(time.Minute)))
	s.want(t, "session_token", map[string]interface{}{"b": "2"})
	noError(t, s.Delete("session_token"))
	s.want(t, "session_token", nil)
	noError(t, s.Delete("session_token"))
	noError(t, s.Commit("session_token", encoded(t, nil), time.Now().Add(time.Minute)))
	noError(t, s.Commit("session_token", encoded(t, nil), time.Now()))
	s.want(t, "session_token", nil)
	soon := time.Now().Add(time.Second)
	data, err := codec{}.Encode(soon, nil)
	noError(t, err)
	noError(t, s.Commit("session_token", data, soon))
	s.want(t, "session_token", map[string]interface{}{})
	noError(t, lend.Wait(func() bool { _, found, _ := s.Find("session_token"); return !found }))
}

func TestASessionPastItsDeadlineIsNotFound(t *testing.T) {
	gate, _ := newGate(t)
	s := &store{gate, scs.New()}
	past, err := codec{}.Encode(time.Now().Add(-time.Second), nil)
	noError(t, err)
	noError(t, gate.Adopt(ctx, gate.Derive("token")[0], sessiongate.Life{Payloads: mustRead(t, past)}))
	s.want(t, "token", nil)
	if _, err := gate.TTL(ctx, gate.Derive("token")[0]); !errors.Is(err, sessiongate.ErrNoSession) {
		t.Errorf("it was not ended: %v", err)
	}
}

func mustRead(t testing.TB, data []byte) document {
	t.Helper()
	d, err := readDocument(data)
	noError(t, err)
	return d
}

func TestDocumentsOfAnotherCodecAreRefused(t *testing.T) {
	gate, _ := newGate(t)
	other, err := scs.GobCodec{}.Encode(time.Now(), map[string]interface{}{"a": 1})
	noError(t, err)
	good := encoded(t, map[string]interface{}{"a": 1, "b": "two"})
	for _, data := range [][]byte{other, nil, {5}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, good[:len(good)-1]} {
		if err := (&store{gate, scs.New()}).Commit("token", data, time.Now().Add(time.Minute)); err == nil {
			t.Errorf("%q was taken", data)
		}
	}
}

func TestASessionOfAnOlderKeyIsFound(t *testing.T) {
	before, _ := newGate(t)
	noError(t, (&store{before, scs.New()}).Commit("token", encoded(t, map[string]interface{}{"a": 1}), time.Now().Add(time.Minute)))
	gate, _ := newGate(t, "a newer key")
	s := &store{gate, scs.New()}
	s.want(t, "token", map[string]interface{}{"a": 1})
	noError(t, s.Commit("token", encoded(t, map[string]interface{}{"a": 2}), time.Now().Add(time.Minute)))
	s.want(t, "token", map[string]interface{}{"a": 2})
	noError(t, s.Delete("token"))
	s.want(t, "token", nil)
}

// site is an application by scs.
type site struct {
	*httptest.Server
	t       testing.TB
	manager *scs.SessionManager
	gate    *sessiongate.Gate
	redis   *redis.Client
}

func newSite(t testing.TB, routes map[string]func(m *scs.SessionManager, r *http.Request) string, configure ...func(m *scs.SessionManager)) site {
	t.Helper()
	s := site{t: t, manager: scs.New()}
	s.gate, s.redis = newGate(t)
	for _, c := range configure {
		c(s.manager)
	}
	loadAndSave := Use(s.manager, s.gate)
	mux := http.NewServeMux()
	for path, route := range routes {
		route := route
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, route(s.manager, r)) })
	}
	s.Server = httptest.NewServer(loadAndSave(mux))
	t.Cleanup(s.Close)
	return s
}

func (s site) browser() func(path string) string {
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Transport: s.Client().Transport}
	return func(path string) string {
		response, err := client.Get(s.URL + path)
		noError(s.t, err)
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK {
			s.t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
		return string(body)
	}
}

var put = map[string]func(m *scs.SessionManager, r *http.Request) string{
	"/put": func(m *scs.SessionManager, r *http.Request) string {
		m.Put(r.Context(), r.FormValue("k"), r.FormValue("v"))
		return ""
	},
	"/remove": func(m *scs.SessionManager, r *http.Request) string {
		m.Remove(r.Context(), r.FormValue("k"))
		return ""
	},
	"/get":   func(m *scs.SessionManager, r *http.Request) string { return m.GetString(r.Context(), r.FormValue("k")) },
	"/pop":   func(m *scs.SessionManager, r *http.Request) string { return m.PopString(r.Context(), r.FormValue("k")) },
	"/token": func(m *scs.SessionManager, r *http.Request) string { return m.Token(r.Context()) },
	"/keys": func(m *scs.SessionManager, r *http.Request) string {
		keys := m.Keys(r.Context())
		sort.Strings(keys)
		return fmt.Sprint(keys)
	},
	"/renew":   func(m *scs.SessionManager, r *http.Request) string { return fmt.Sprint(m.RenewToken(r.Context())) },
	"/destroy": func(m *scs.SessionManager, r *http.Request) string { return fmt.Sprint(m.Destroy(r.Context())) },
	"/clear":   func(m *scs.SessionManager, r *http.Request) string { return fmt.Sprint(m.Clear(r.Context())) },
	"/count": func(m *scs.SessionManager, r *http.Request) string {
		m.Put(r.Context(), "n", m.GetInt(r.Context(), "n")+1)
		return fmt.Sprint(m.GetInt(r.Context(), "n"))
	},
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q instead of %q", what, got, want)
	}
}

func TestAnApplication(t *testing.T) {
	s := newSite(t, put)
	ada, bob := s.browser(), s.browser()
	ada("/put?k=user&v=Ada")
	want(t, "Ada", ada("/get?k=user"), "Ada")
	want(t, "Bob", bob("/get?k=user"), "")
	want(t, "count", ada("/count")+ada("/count")+bob("/count"), "121")
	want(t, "keys", ada("/keys"), "[n user]")
	want(t, "pop", ada("/pop?k=user")+ada("/pop?k=user"), "Ada")
	ada("/remove?k=n")
	want(t, "keys after removal", ada("/keys"), "[]")
	ada("/put?k=x&v=y")
	want(t, "clear", ada("/clear")+ada("/keys"), "<nil>[]")
}

func TestARequestMayCommitTwice(t *testing.T) {
	s := newSite(t, map[string]func(m *scs.SessionManager, r *http.Request) string{
		"/twice": func(m *scs.SessionManager, r *http.Request) string {
			m.Put(r.Context(), "a", "1")
			_, _, err := m.Commit(r.Context())
			m.Put(r.Context(), "b", "2")
			return fmt.Sprint(err)
		},
		"/keys": put["/keys"],
	})
	b := s.browser()
	want(t, "commit", b("/twice"), "<nil>")
	want(t, "keys", b("/keys"), "[a b]")
}

func TestRenewTokenLeavesTheOldOneDead(t *testing.T) {
	s := newSite(t, put)
	b := s.browser()
	b("/put?k=a&v=1")
	before := b("/token")
	want(t, "renew", b("/renew"), "<nil>")
	after := b("/token")
	want(t, "value", b("/get?k=a"), "1")
	if before == after {
		t.Error("the same token")
	}
	(&store{s.gate, scs.New()}).want(t, before, nil)
	want(t, "destroy", b("/destroy"), "<nil>")
	(&store{s.gate, scs.New()}).want(t, after, nil)
	want(t, "value after all", b("/get?k=a"), "")
}

func TestRequestsThatChangeDifferentValuesBothWin(t *testing.T) {
	inside, goOn := make(chan bool), make(chan bool)
	routes := map[string]func(m *scs.SessionManager, r *http.Request) string{
		"/slow": func(m *scs.SessionManager, r *http.Request) string {
			m.Put(r.Context(), "slow", "1")
			inside <- true
			<-goOn
			return ""
		},
	}
	for path, route := range put {
		routes[path] = route
	}
	s := newSite(t, routes)
	b := s.browser()
	b("/put?k=a&v=1")
	token := b("/token")
	slow := make(chan bool)
	go func() { b("/slow"); close(slow) }()
	<-inside
	b("/put?k=b&v=2")
	goOn <- true
	<-slow
	want(t, "keys", b("/keys"), "[a b slow]")

	slow = make(chan bool)
	go func() { b("/slow?again"); close(slow) }()
	<-inside
	noError(t, (&store{s.gate, scs.New()}).Delete(token)) // logged out elsewhere, meanwhile
	goOn <- true
	<-slow
	(&store{s.gate, scs.New()}).want(t, token, nil)
}

func TestUnchangedValuesAreNotSent(t *testing.T) {
	s := newSite(t, put, func(m *scs.SessionManager) { m.IdleTimeout = time.Hour }) // commits at each request
	b := s.browser()
	b("/put?k=a&v=1")
	writes := func() string {
		_, after, _ := strings.Cut(s.redis.Info(ctx, "sessiongate").Val(), "sessiongate_payload_writes:")
		count, _, _ := strings.Cut(after, "\r\n")
		return count
	}
	before := writes()
	want(t, "get", b("/get?k=a"), "1")
	b("/put?k=a&v=1")
	want(t, "payloads that were written", writes(), before)
	b("/put?k=a&v=2")
	if writes() == before {
		t.Error("a change was not written")
	}
}

func TestLifetimes(t *testing.T) {
	s := newSite(t, put, func(m *scs.SessionManager) { m.IdleTimeout, m.Lifetime = 10*time.Minute, time.Hour })
	b := s.browser()
	b("/put?k=a&v=1")
	info, err := s.gate.Info(ctx, s.gate.Derive(b("/token"))[0])
	if left := time.Until(info.Deadline); err != nil || info.Idle != 10*time.Minute || left > time.Hour+time.Second || left < 59*time.Minute {
		t.Errorf("%+v %v", info, err)
	}
}

func TestADeadlineCanBeBroughtNearer(t *testing.T) {
	routes := map[string]func(m *scs.SessionManager, r *http.Request) string{
		"/put": put["/put"], "/token": put["/token"],
		"/soon": func(m *scs.SessionManager, r *http.Request) string {
			m.SetDeadline(r.Context(), time.Now().Add(90*time.Second))
			return ""
		},
	}
	s := newSite(t, routes)
	b := s.browser()
	b("/put?k=a&v=1")
	b("/soon")
	if ttl, err := s.gate.TTL(ctx, s.gate.Derive(b("/token"))[0]); err != nil || ttl > 91*time.Second {
		t.Errorf("%v %v", ttl, err)
	}
}

// overtaken makes a request that is held up until another one, by path, was answered. It returns the
// token that the browser has in the end, and the one that the other request left it.
func overtaken(t *testing.T, path string, slow func(m *scs.SessionManager, r *http.Request) string, configure ...func(m *scs.SessionManager)) (s site, last, wanted string) {
	t.Helper()
	inside, goOn := make(chan bool), make(chan bool)
	routes := map[string]func(m *scs.SessionManager, r *http.Request) string{
		"/slow": func(m *scs.SessionManager, r *http.Request) string {
			said := slow(m, r)
			inside <- true
			<-goOn
			if r.FormValue("renew") != "" {
				_ = m.RenewToken(r.Context())
			}
			return said
		},
		"/user": func(m *scs.SessionManager, r *http.Request) string {
			m.Put(r.Context(), "user", "ada")
			return fmt.Sprint(m.RenewToken(r.Context()))
		},
	}
	for path, route := range put {
		routes[path] = route
	}
	s = newSite(t, routes, configure...)
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Transport: s.Client().Transport}
	get := func(path string) {
		response, err := client.Get(s.URL + path)
		noError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
		noError(t, response.Body.Close())
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	token := func() string {
		at, _ := url.Parse(s.URL)
		for _, cookie := range jar.Cookies(at) {
			return cookie.Value
		}
		return ""
	}
	get("/put?k=a&v=1")
	done := make(chan bool)
	go func() {
		defer close(done)
		get("/slow?" + map[bool]string{true: "renew=1"}[path == "/destroy"])
	}()
	<-inside
	get(path)
	wanted = token()
	goOn <- true
	<-done
	return s, token(), wanted
}

func TestALateRequestLeavesTheCookieOfALoginAlone(t *testing.T) {
	idle := func(m *scs.SessionManager) { m.IdleTimeout = time.Hour } // commits at each request
	change := func(m *scs.SessionManager, r *http.Request) string {
		m.Put(r.Context(), "late", "1")
		return "written"
	}
	silent := func(m *scs.SessionManager, r *http.Request) string {
		m.Put(r.Context(), "late", "1")
		return ""
	}
	nothing := func(*scs.SessionManager, *http.Request) string { return "" }
	for what, c := range map[string]struct {
		slow      func(m *scs.SessionManager, r *http.Request) string
		configure []func(m *scs.SessionManager)
	}{"changed": {change, nil}, "changed, no body": {silent, nil}, "unchanged": {nothing, []func(m *scs.SessionManager){idle}}} {
		s, last, wanted := overtaken(t, "/user", c.slow, c.configure...)
		if last != wanted || wanted == "" {
			t.Errorf("%s: the login's cookie was overwritten", what)
		}
		(&store{s.gate, scs.New()}).want(t, wanted, map[string]interface{}{"a": "1", "user": "ada"})
	}
}

func TestARenewalAfterALogoutRestoresNothing(t *testing.T) {
	_, client := newGate(t)
	before := client.DBSize(ctx).Val()
	_, last, _ := overtaken(t, "/destroy", func(*scs.SessionManager, *http.Request) string { return "" })
	if last != "" {
		t.Error("the visitor has a cookie again")
	}
	if more := client.DBSize(ctx).Val() - before; more != 0 {
		t.Errorf("%d sessions are left", more)
	}
}

func TestANameOfALockIsRefused(t *testing.T) {
	if _, err := (codec{}).Encode(time.Now(), map[string]interface{}{"\x00lock:a": 1}); err == nil {
		t.Error("it was taken")
	}
}

func TestALockIsNoValue(t *testing.T) {
	s := newSite(t, put)
	b := s.browser()
	b("/put?k=a&v=1")
	derived := s.gate.Derive(b("/token"))[0]
	below, err := s.gate.Session(ctx, derived)
	noError(t, err)
	noError(t, below.Lock(ctx, "x", 30*time.Second, func(context.Context) error {
		want(t, "keys", b("/keys"), "[a]")
		b("/clear")
		b("/put?k=b&v=1")
		_, err := s.gate.PGet(ctx, derived, "\x00lock:x")
		return err
	}))
	want(t, "keys", b("/keys"), "[b]")
}

func TestParallelRequestsLoseNothing(t *testing.T) {
	s := newSite(t, put, func(m *scs.SessionManager) { m.IdleTimeout = time.Hour })
	b := s.browser()
	b("/put?k=a&v=1")
	var all sync.WaitGroup
	for i := 0; i < 20; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			b(fmt.Sprintf("/put?k=n%d&v=1", i))
		}(i)
	}
	all.Wait()
	if keys := strings.Fields(b("/keys")); len(keys) != 21 {
		t.Errorf("%v", keys)
	}
}

func TestAShortIdleTimeoutIsRestoredInTime(t *testing.T) {
	s := newSite(t, put, func(m *scs.SessionManager) { m.IdleTimeout = 100 * time.Second })
	b := s.browser()
	b("/put?k=a&v=1")
	derived := s.gate.Derive(b("/token"))[0]
	for _, path := range []string{"/get?k=a", "/put?k=a&v=2"} {
		noError(t, s.redis.PExpire(ctx, derived, 55*time.Second).Err()) // 45 seconds later
		b(path)
		if left, err := s.gate.TTL(ctx, derived); err != nil || left < 99*time.Second {
			t.Errorf("%s: %v left %v", path, left, err)
		}
	}
}
