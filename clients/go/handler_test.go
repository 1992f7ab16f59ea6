package sessiongate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// browser is a visitor with cookies of his own.
type browser struct {
	t      testing.TB
	url    string
	client *http.Client
}

func newBrowser(t testing.TB, server *httptest.Server) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	noError(t, err)
	return browser{t, server.URL, &http.Client{Jar: jar, Transport: server.Client().Transport}}
}

// get answers status and body.
func (b browser) get(path string) (int, string) {
	b.t.Helper()
	status, body, _ := b.response(path)
	return status, body
}

func (b browser) response(path string) (int, string, http.Header) {
	b.t.Helper()
	response, err := b.client.Get(b.url + path)
	noError(b.t, err)
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body), response.Header
}

func (b browser) want(path, body string) {
	b.t.Helper()
	if status, got := b.get(path); status != http.StatusOK || got != body {
		b.t.Errorf("%s: %d %q instead of %q", path, status, got, body)
	}
}

func (b browser) token() string {
	at, _ := url.Parse(b.url)
	for _, cookie := range b.client.Jar.Cookies(at) {
		if cookie.Name == DefaultCookie {
			return cookie.Value
		}
	}
	return ""
}

func (b browser) setToken(token string) {
	at, _ := url.Parse(b.url)
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: DefaultCookie, Value: token, Path: "/"}})
}

// failures collects what OnError is told.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(_ *http.Request, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *failures) all() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]error(nil), f.errs...)
}

// site serves handlers by path, each given the session.
func site(t testing.TB, p place, routes map[string]func(w http.ResponseWriter, r *http.Request, s *Session)) (*Gate, *httptest.Server, *failures) {
	t.Helper()
	f := &failures{}
	gate := p.gate(t, Options{Cookie: Cookie{Insecure: true}, OnError: f.add})
	mux := http.NewServeMux()
	mux.HandleFunc("/untouched", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	for path, route := range routes {
		route := route
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s, err := FromContext(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			route(w, r, s)
		})
	}
	server := httptest.NewServer(gate.Handler(mux))
	t.Cleanup(server.Close)
	return gate, server, f
}

type routes = map[string]func(w http.ResponseWriter, r *http.Request, s *Session)

func count(w http.ResponseWriter, _ *http.Request, s *Session) {
	var visits int
	_, err := s.Get("visits", &visits)
	if err = errors.Join(err, s.Set("visits", visits+1)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprint(w, visits+1)
}

func show(w http.ResponseWriter, _ *http.Request, s *Session) {
	_, _ = fmt.Fprint(w, strings.Join(s.Names(), ","))
}

func TestVisitorsHaveSessionsOfTheirOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		_, server, f := site(t, p, routes{"/count": count, "/show": show})
		ada, bob := newBrowser(t, server), newBrowser(t, server)
		ada.want("/count", "1")
		ada.want("/count", "2")
		bob.want("/count", "1")
		ada.want("/count", "3")
		ada.want("/show", "visits")
		bob.want("/count", "2")
		if len(f.all()) != 0 {
			t.Error(f.all())
		}
	})
}

func TestTheCookieIsSetOnceAndSafely(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{Cookie: Cookie{Name: "__Host-id"}})
	server := httptest.NewTLSServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := FromContext(r.Context())
		count(w, r, s)
	})))
	defer server.Close()
	b := newBrowser(t, server)
	_, _, header := b.response("/")
	cookie := header.Get("Set-Cookie")
	for _, attribute := range []string{"__Host-id=v2.", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("%q is not in %q", attribute, cookie)
		}
	}
	if header.Get("Vary") != "Cookie" || header.Get("Cache-Control") != `no-cache="Set-Cookie"` {
		t.Errorf("caches may keep it: %v", header)
	}
	if _, body, header := b.response("/"); body != "2" || header.Get("Set-Cookie") != "" {
		t.Errorf("second visit: %q, cookie %q", body, header.Get("Set-Cookie"))
	}
}

func TestRoundTripsOfRequests(t *testing.T) {
	p := single(t)
	gate, server, _ := site(t, p, routes{
		"/count": count, "/show": show,
		"/same":   func(_ http.ResponseWriter, _ *http.Request, s *Session) { _ = s.Set("same", 1) },
		"/rotate": func(_ http.ResponseWriter, r *http.Request, s *Session) { _ = s.Rotate(r.Context()) },
		"/end":    func(_ http.ResponseWriter, r *http.Request, s *Session) { _ = s.End(r.Context()) },
	})
	b := newBrowser(t, server)
	forged, err := p.gate(t, Options{}).Mint()
	noError(t, err)
	for _, c := range []struct {
		path  string
		trips int64
	}{{"/untouched", 0}, {"/show", 0}, {"/count", 1}, {"/untouched", 0}, {"/show", 1}, {"/count", 2}, {"/same", 2},
		{"/same", 1}, {"/rotate", 2}, {"/end", 2}} {
		if trips := p.trips(t, func() { b.get(c.path) }); trips != c.trips {
			t.Errorf("%s: %d round trips instead of %d", c.path, trips, c.trips)
		}
	}
	b.setToken(forged)
	if trips := p.trips(t, func() { b.want("/show", "") }); trips != 0 {
		t.Errorf("a forged cookie: %d round trips", trips)
	}
	if _, ok := gate.Verify(forged); ok {
		t.Error("it is not forged")
	}
}

func TestLogoutDeletesTheCookieAndSoDoesEmptying(t *testing.T) {
	p := single(t)
	gate, server, _ := site(t, p, routes{
		"/count": count, "/show": show,
		"/end":   func(_ http.ResponseWriter, r *http.Request, s *Session) { _ = s.End(r.Context()) },
		"/empty": func(_ http.ResponseWriter, _ *http.Request, s *Session) { s.Delete("visits") },
	})
	for _, path := range []string{"/end", "/empty"} {
		b := newBrowser(t, server)
		b.want("/count", "1")
		token := b.token()
		b.want(path, "")
		if b.token() != "" {
			t.Errorf("%s: the cookie stays", path)
		}
		if _, err := gate.TTL(ctx, token); !errors.Is(err, ErrNoSession) {
			t.Errorf("%s: the session stays: %v", path, err)
		}
		b.want("/count", "1")
	}
}

func TestASessionOfWhichNothingIsLeftCountsAsNew(t *testing.T) {
	p := single(t)
	gate, server, f := site(t, p, routes{"/count": count, "/show": show})
	b := newBrowser(t, server)
	b.want("/count", "1")
	first := b.token()
	noError(t, gate.End(ctx, first))
	b.want("/show", "")
	if b.token() != first {
		t.Error("reading changed the cookie")
	}
	b.want("/count", "1")
	if b.token() == first || len(f.all()) != 0 {
		t.Errorf("the old token lives again, or %v", f.all())
	}
}

func TestASaveAfterALogoutElsewhereLeavesResponseAndCookieAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		inside, ended := make(chan string), make(chan struct{})
		gate, server, f := site(t, p, routes{
			"/count": count,
			"/slow": func(w http.ResponseWriter, _ *http.Request, s *Session) {
				_ = s.Set("late", 1)
				inside <- s.Token()
				<-ended
				_, _ = io.WriteString(w, "done")
			},
		})
		b := newBrowser(t, server)
		b.want("/count", "1")
		go func() {
			token := <-inside
			if err := gate.End(ctx, token); err != nil {
				t.Error(err)
			}
			close(ended)
		}()
		token := b.token()
		_, body, header := b.response("/slow")
		if body != "done" || header.Get("Set-Cookie") != "" {
			t.Errorf("%q, cookie %q", body, header.Get("Set-Cookie"))
		}
		noError(t, lend.Wait(func() bool { return len(f.all()) > 0 }))
		if errs := f.all(); len(errs) != 1 || !errors.Is(errs[0], ErrNoSession) {
			t.Errorf("OnError: %v", errs)
		}
		if p.client.Exists(ctx, token).Val() != 0 {
			t.Error("the session is there again")
		}
	})
}

func TestASessionIsSavedBeforeTheHeaderAndOnceMoreAfter(t *testing.T) {
	p := single(t)
	var gate *Gate
	gate, server, f := site(t, p, routes{
		"/both": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			_ = s.Set("before", 1)
			w.WriteHeader(http.StatusCreated)
			_, early := gateValue(gate, s, "before")
			_ = s.Set("after", 1)
			_, _ = fmt.Fprint(w, early)
		},
		"/flushed": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			_ = s.Set("flushed", 1)
			w.(http.Flusher).Flush()
			_, _ = fmt.Fprint(w, "x")
		},
		"/early": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			w.WriteHeader(http.StatusEarlyHints)
			_ = s.Set("early", 1)
			w.WriteHeader(http.StatusOK)
		},
		"/late": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			_, _ = io.WriteString(w, "x")
			_ = s.Set("late", 1)
		},
		"/show": show,
	})
	b := newBrowser(t, server)
	if status, body := b.get("/both"); status != http.StatusCreated || body != "true" {
		t.Errorf("%d %q", status, body)
	}
	b.want("/flushed", "x")
	b.want("/early", "")
	b.want("/show", "after,before,early,flushed")
	before := p.stat(t, "sessiongate", "sessiongate_sessions_adopted")
	newBrowser(t, server).want("/late", "x")
	noError(t, lend.Wait(func() bool { return len(f.all()) == 1 }))
	wantError(t, "a new session after the header", f.all()[0], ErrHeaderSent)
	if p.stat(t, "sessiongate", "sessiongate_sessions_adopted") != before {
		t.Error("a session was stored that nobody can have")
	}
}

func gateValue(gate *Gate, s *Session, name string) (string, bool) {
	data, err := gate.PGet(ctx, s.Token(), name)
	return string(data), err == nil
}

func TestAStoreThatIsGoneMakesTheResponse500(t *testing.T) {
	s := lend.Own(t)
	p := place{"redis", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0), MaxRetries: -1})), false}
	_, server, f := site(t, p, routes{
		"/count": count,
		"/stop": func(w http.ResponseWriter, _ *http.Request, session *Session) {
			_ = session.Set("a", 1)
			s.Tell(t, "kill 0")
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(http.StatusFound)
			_, _ = io.WriteString(w, "okay")
		},
	})
	b := newBrowser(t, server)
	b.want("/count", "1")
	status, body, header := b.response("/stop")
	if status != http.StatusInternalServerError || body != "Internal Server Error\n" || header.Get("Location") != "" {
		t.Errorf("%d %q %v", status, body, header)
	}
	if status, _ := b.get("/count"); status != http.StatusServiceUnavailable {
		t.Errorf("FromContext without a server: %d", status)
	}
	b.want("/untouched", "hello")
	if errs := f.all(); len(errs) != 1 {
		t.Errorf("OnError: %v", errs)
	}
	s.Tell(t, "start 0")
	b.want("/count", "1")
}

func TestAHandlerThatPanicsSavesNothing(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	var s *Session
	handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, _ = FromContext(r.Context())
		_ = s.Set("a", 1)
		panic(http.ErrAbortHandler)
	}))
	func() {
		defer func() { _ = recover() }()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	if s == nil || !s.IsNew() {
		t.Error("it was saved")
	}
}

func TestAVisitorWhoGoesAwayHasHisChangesSaved(t *testing.T) {
	p := single(t)
	gone := make(chan *Session, 1)
	gate, server, _ := site(t, p, routes{
		"/count": count,
		"/wait": func(_ http.ResponseWriter, r *http.Request, s *Session) {
			_ = s.Set("a", 1)
			gone <- s
			<-r.Context().Done()
		},
	})
	b := newBrowser(t, server)
	b.want("/count", "1")
	request, cancel := contextRequest(t, b.url+"/wait")
	defer cancel()
	go func() { <-gone; cancel() }()
	if _, err := b.client.Do(request); err == nil {
		t.Error("the request was answered")
	}
	noError(t, lend.Wait(func() bool { return value(t, gate, b.token(), "a") == "1" }))
}

func TestOfSeveralCookiesTheSignedOneCounts(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "session=planted; other="+token+"x; session="+token)
	if got := gate.cookieToken(r); got != token {
		t.Errorf("%q", got)
	}
}

func TestAConnectionCanBeTakenOver(t *testing.T) {
	p := single(t)
	gate, server, f := site(t, p, routes{
		"/count": count,
		"/hijack": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			_ = s.Set("a", 1)
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
			_ = connection.Close()
		},
		"/copy": func(w http.ResponseWriter, _ *http.Request, s *Session) {
			_ = s.Set("b", 1)
			_, _ = io.Copy(w, bufio.NewReader(strings.NewReader("copied")))
		},
	})
	b := newBrowser(t, server)
	b.want("/count", "1")
	b.want("/hijack", "hi")
	b.want("/copy", "copied")
	if value(t, gate, b.token(), "a") != "1" || value(t, gate, b.token(), "b") != "1" {
		t.Error("it was not saved")
	}
	if errs := f.all(); len(errs) != 0 {
		t.Errorf("OnError: %v", errs)
	}
	newBrowser(t, server).want("/hijack", "hi")
	if errs := f.all(); len(errs) != 1 || errs[0] != ErrHeaderSent {
		t.Errorf("OnError of a cookie that is lost: %v", errs)
	}
}

func TestAContextWithoutAHandlerSaysSo(t *testing.T) {
	if s, err := FromContext(ctx); err == nil || s != nil || !strings.Contains(err.Error(), "Gate.Handler") {
		t.Errorf("%v %v", s, err)
	}
}

func TestRequestsLeaveNoConnectionsBehind(t *testing.T) {
	s := lend.Own(t)
	admin := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)}))
	connections := func() int { return strings.Count(admin.ClientList(ctx).Val(), "\n") }
	before := connections()
	client := redis.NewClient(&redis.Options{Addr: s.Addr(0)})
	p := place{"redis", s, client, false}
	_, server, _ := site(t, p, routes{"/count": count})
	var all sync.WaitGroup
	const visitors = 4
	for i := 0; i < visitors; i++ {
		b := newBrowser(t, server)
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 50; j++ {
				b.get("/count")
			}
		}()
	}
	all.Wait()
	if n := connections() - before; n < 1 || n > 2*visitors { // newer drivers have two pools
		t.Errorf("%d connections after %d visitors", n, visitors)
	}
	if stats := client.PoolStats(); stats.TotalConns != stats.IdleConns {
		t.Errorf("connections are still taken: %+v", stats)
	}
	noError(t, client.Close())
	noError(t, lend.Wait(func() bool { return connections() == before }))
}

func TestEmptyingASessionThatIsGoneLeavesTheCookieAlone(t *testing.T) {
	p := single(t)
	inside, rotated := make(chan string), make(chan struct{})
	gate, server, f := site(t, p, routes{
		"/count": count,
		"/slow": func(_ http.ResponseWriter, _ *http.Request, s *Session) {
			s.Delete("visits")
			inside <- s.Token()
			<-rotated
		},
	})
	b := newBrowser(t, server)
	b.want("/count", "1")
	go func() { // a login meanwhile, whose response sets another cookie
		if _, err := gate.Rotate(ctx, <-inside, Rotation{}); err != nil {
			t.Error(err)
		}
		close(rotated)
	}()
	if _, _, header := b.response("/slow"); header.Get("Set-Cookie") != "" {
		t.Errorf("the login's cookie is overwritten: %q", header.Get("Set-Cookie"))
	}
	if errs := f.all(); len(errs) != 1 || !errors.Is(errs[0], ErrNoSession) {
		t.Errorf("OnError: %v", errs)
	}
}

func TestASessionMayBeAskedForByAnotherGoroutine(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := make(chan bool)
		go func() {
			defer close(done)
			if _, err := FromContext(r.Context()); err != nil {
				t.Error(err)
			}
		}()
		_, _ = io.WriteString(w, "x")
		<-done
	}))
	for i := 0; i < 20; i++ {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if i%2 == 0 {
			r.Header.Set("Cookie", DefaultCookie+"="+token)
		} else {
			dead, err := gate.Mint()
			noError(t, err)
			r.Header.Set("Cookie", DefaultCookie+"="+dead)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Header().Get("Set-Cookie") != "" {
			t.Error(w.Header())
		}
	}
}

func TestParallelRequestsOfOneVisitorLoseNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, server, f := site(t, p, routes{
			"/count": count,
			"/add": func(_ http.ResponseWriter, r *http.Request, s *Session) {
				err := s.Lock(r.Context(), "n", 30*time.Second, func(context.Context) error { return increment(s) })
				if err = errors.Join(err, s.Set(r.FormValue("i"), 1)); err != nil {
					t.Error(err)
				}
			},
		})
		b := newBrowser(t, server)
		b.want("/count", "1")
		token := b.token()
		var all sync.WaitGroup
		for i := 0; i < 20; i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				b.get(fmt.Sprint("/add?i=", i))
			}(i)
		}
		all.Wait()
		if payloads, err := gate.PGetAll(ctx, token); err != nil || len(payloads) != 22 || string(payloads["n"]) != "20" {
			t.Errorf("%q %v", payloads, err)
		}
		if errs := f.all(); len(errs) != 0 || b.token() != token {
			t.Errorf("OnError: %v", errs)
		}
	})
}

func TestACookieOfANameThatCannotBeIsRefused(t *testing.T) {
	client := closed(t, redis.NewClient(&redis.Options{}))
	for _, name := range []string{"a b", "a=b", "a;b", "é", "a\r\nb"} {
		if _, err := New(client, Options{SignKeys: [][]byte{[]byte("k")}, Cookie: Cookie{Name: name}}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}
