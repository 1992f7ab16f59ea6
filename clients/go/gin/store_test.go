package gin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	gin.DefaultWriter = io.Discard
	lend.Main(m)
}

func newStore(t *testing.T) sessions.Store {
	return NewStore(newGate(t))
}

func newGate(t *testing.T) *sessiongate.Gate {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: lend.Shared(t).Addr(0)})
	t.Cleanup(func() { _ = client.Close() })
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("gin " + t.Name())}})
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// The tests that gin-contrib/sessions has for stores.
func TestGetSet(t *testing.T)    { tester.GetSet(t, newStore) }
func TestDeleteKey(t *testing.T) { tester.DeleteKey(t, newStore) }
func TestFlashes(t *testing.T)   { tester.Flashes(t, newStore) }
func TestClear(t *testing.T)     { tester.Clear(t, newStore) }
func TestOptions(t *testing.T)   { tester.Options(t, newStore) }
func TestMany(t *testing.T)      { tester.Many(t, newStore) }

// get makes one request with a cookie, and returns the cookie to go on with.
func get(t *testing.T, handler http.Handler, path, cookie string) (body, next string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	for _, set := range w.Result().Cookies() {
		cookie = set.Name + "=" + set.Value
	}
	return w.Body.String(), cookie
}

func TestClearTakesAwayWhatWasStored(t *testing.T) {
	r := gin.New()
	r.Use(sessions.Sessions("mysession", newStore(t)))
	save := func(c *gin.Context, s sessions.Session) {
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	}
	r.GET("/set", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("a", 1)
		s.Set("b", "x")
		save(c, s)
	})
	r.GET("/clear", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Clear()
		s.Set("c", 2)
		save(c, s)
	})
	r.GET("/show", func(c *gin.Context) {
		s := sessions.Default(c)
		if s.Get("a") != nil || s.Get("b") != nil || s.Get("c") != 2 {
			t.Errorf("%v %v %v", s.Get("a"), s.Get("b"), s.Get("c"))
		}
		c.String(http.StatusOK, s.ID())
	})
	_, cookie := get(t, r, "/set", "")
	_, after := get(t, r, "/clear", cookie)
	if shown, _ := get(t, r, "/show", after); after != cookie || "mysession="+shown != cookie {
		t.Errorf("the session became another one: %s", shown)
	}
}

func TestTheSessionBelowRotates(t *testing.T) {
	gate := newGate(t)
	r := gin.New()
	r.Use(sessions.Sessions("mysession", NewStore(gate)))
	r.GET("/visit", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("cart", 1)
		_ = s.Save()
		c.String(http.StatusOK, s.ID())
	})
	r.GET("/login", func(c *gin.Context) {
		s := sessions.Default(c)
		if err := Of(s).Rotate(c.Request.Context()); err != nil {
			t.Error(err)
		}
		s.Set("user", "ada")
		_ = s.Save()
	})
	r.GET("/show", func(c *gin.Context) {
		s := sessions.Default(c)
		if s.Get("cart") != 1 || s.Get("user") != "ada" {
			t.Errorf("%v %v", s.Get("cart"), s.Get("user"))
		}
	})
	token, cookie := get(t, r, "/visit", "")
	_, after := get(t, r, "/login", cookie)
	get(t, r, "/show", after)
	if _, err := gate.TTL(context.Background(), token); after == cookie || !errors.Is(err, sessiongate.ErrNoSession) {
		t.Errorf("the old token: %v", err)
	}
}

func TestALockIsNoValueAndStays(t *testing.T) {
	gate := newGate(t)
	r := gin.New()
	r.Use(sessions.Sessions("mysession", NewStore(gate)))
	r.GET("/clear", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Clear()
		s.Set("a", 1)
		_ = s.Save()
		c.String(http.StatusOK, s.ID())
	})
	token, cookie := get(t, r, "/clear", "")
	ctx := context.Background()
	below, err := gate.Session(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	err = below.Lock(ctx, "x", time.Minute, func(context.Context) error {
		if _, after := get(t, r, "/clear", cookie); after != cookie {
			t.Error("another session")
		}
		_, err := gate.PGet(ctx, token, "\x00lock:x")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALockGivesValuesAfresh(t *testing.T) {
	gate := newGate(t)
	r := gin.New()
	r.Use(sessions.Sessions("mysession", NewStore(gate)))
	r.GET("/add", func(c *gin.Context) {
		s := sessions.Default(c)
		n, _ := s.Get("n").(int)
		if c.Query("within") != "" { // another request, after this one has loaded
			get(t, r, "/add", c.Request.Header.Get("Cookie"))
		}
		err := Lock(c.Request.Context(), s, "n", time.Minute, func(context.Context) error {
			n, _ = s.Get("n").(int)
			s.Set("n", n+1)
			return nil
		})
		if err = errors.Join(err, s.Save()); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, "%d", n+1)
	})
	body, cookie := get(t, r, "/add", "")
	if body != "1" {
		t.Error(body)
	}
	if body, _ = get(t, r, "/add?within=1", cookie); body != "3" {
		t.Error(body)
	}
}
