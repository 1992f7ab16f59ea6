package sessiongate

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func load(t testing.TB, gate *Gate, token string) *Session {
	t.Helper()
	s, err := gate.Session(ctx, token)
	noError(t, err)
	return s
}

func set(t testing.TB, s *Session, name string, v any) {
	t.Helper()
	noError(t, s.Set(name, v))
}

// value is a payload as it is stored, or "" where there is none.
func value(t testing.TB, gate *Gate, token, name string) string {
	t.Helper()
	data, err := gate.PGet(ctx, token, name)
	if err != nil && !errors.Is(err, ErrNoPayload) {
		t.Fatal(err)
	}
	return string(data)
}

// stored starts a session with values and returns its token.
func stored(t testing.TB, gate *Gate, values map[string]any) string {
	t.Helper()
	s := load(t, gate, "")
	for name, v := range values {
		set(t, s, name, v)
	}
	noError(t, s.Save(ctx))
	if s.IsNew() {
		t.Fatal("not stored")
	}
	return s.Token()
}

func TestASessionHoldsValues(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		type cart struct {
			Items []string
			Price float64
		}
		gate := p.gate(t, Options{})
		s := load(t, gate, "")
		if !s.IsNew() || s.Token() != "" || len(s.Names()) != 0 {
			t.Error("a session without a token is not new and empty")
		}
		set(t, s, "user", "<Ада & Co>")
		set(t, s, "cart", cart{[]string{"a", "b"}, 1.5})
		set(t, s, "none", nil)
		noError(t, s.SetBytes("raw", []byte{0, 1, 255}))
		noError(t, s.Save(ctx))
		if verified, ok := gate.Verify(s.Token()); !ok || verified.Format != V2 || s.IsNew() {
			t.Errorf("stored under %v", verified)
		}
		if got := value(t, gate, s.Token(), "user"); got != `"<Ада & Co>"` {
			t.Errorf("stored as %s", got)
		}

		s = load(t, gate, s.Token())
		var user string
		var got cart
		var nothing *int
		for name, v := range map[string]any{"user": &user, "cart": &got, "none": &nothing} {
			if ok, err := s.Get(name, v); !ok || err != nil {
				t.Errorf("%s: %v %v", name, ok, err)
			}
		}
		raw, ok := s.Bytes("raw")
		if user != "<Ада & Co>" || !reflect.DeepEqual(got, cart{[]string{"a", "b"}, 1.5}) || nothing != nil ||
			!ok || string(raw) != "\x00\x01\xff" {
			t.Errorf("%q %v %v %q", user, got, nothing, raw)
		}
		if ok, err := s.Get("absent", &user); ok || err != nil {
			t.Errorf("absent: %v %v", ok, err)
		}
		s.Delete("cart")
		s.Delete("absent")
		set(t, s, "more", 1)
		if names := s.Names(); !reflect.DeepEqual(names, []string{"more", "none", "raw", "user"}) {
			t.Errorf("names: %q", names)
		}
		noError(t, s.Save(ctx))
		if names := load(t, gate, s.Token()).Names(); !reflect.DeepEqual(names, []string{"more", "none", "raw", "user"}) {
			t.Errorf("names that were stored: %q", names)
		}
	})
}

func TestRequestsThatChangeDifferentValuesBothWin(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"a": 1, "b": 1, "c": 1})
		first, second := load(t, gate, token), load(t, gate, token)
		set(t, first, "a", 2)
		first.Delete("c")
		set(t, second, "b", 2)
		noError(t, second.Save(ctx))
		noError(t, first.Save(ctx))
		if a, b, c := value(t, gate, token, "a"), value(t, gate, token, "b"), value(t, gate, token, "c"); a != "2" || b != "2" || c != "" {
			t.Errorf("a %s, b %s, c %s", a, b, c)
		}
	})
}

func TestManyRequestsAtOnceLoseNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"start": 1})
		var all sync.WaitGroup
		for i := 0; i < 40; i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				s, err := gate.Session(ctx, token)
				if err == nil {
					if err = s.Set(fmt.Sprint("n", i), i); err == nil {
						err = s.Save(ctx)
					}
				}
				if err != nil {
					t.Error(err)
				}
			}(i)
		}
		all.Wait()
		if names := load(t, gate, token).Names(); len(names) != 41 {
			t.Errorf("%d names", len(names))
		}
	})
}

func TestOneSessionUsedByManyIsStoredOnce(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	before := p.stat(t, "sessiongate", "sessiongate_sessions_adopted")
	s := load(t, gate, "")
	var all sync.WaitGroup
	for i := 0; i < 20; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			if err := errors.Join(s.Set(fmt.Sprint("n", i), i), s.Save(ctx)); err != nil {
				t.Error(err)
			}
		}(i)
	}
	all.Wait()
	if made := p.stat(t, "sessiongate", "sessiongate_sessions_adopted") - before; made != 1 {
		t.Errorf("%d sessions", made)
	}
	if names := load(t, gate, s.Token()).Names(); len(names) != 20 {
		t.Errorf("%d names", len(names))
	}
}

func TestASessionThatWasEndedStaysEnded(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"a": 1, "b": 2})
		s, deletes, unchanged := load(t, gate, token), load(t, gate, token), load(t, gate, token)
		noError(t, load(t, gate, token).End(ctx))
		set(t, s, "a", 2)
		wantError(t, "Save", s.Save(ctx), ErrNoSession)
		wantError(t, "Save again", s.Save(ctx), ErrNoSession)
		deletes.Delete("a")
		wantError(t, "Save of a deletion", deletes.Save(ctx), ErrNoSession)
		noError(t, unchanged.Save(ctx))
		wantError(t, "Rotate", s.Rotate(ctx), ErrNoSession)
		_, err := s.Take(ctx, "b", new(int))
		wantError(t, "Take", err, ErrNoSession)
		noError(t, unchanged.End(ctx))
		if exists := p.client.Exists(ctx, token).Val(); exists != 0 {
			t.Error("the session is there again")
		}
		if again := load(t, gate, token); !again.IsNew() || len(again.Names()) != 0 {
			t.Error("its token opens something")
		}
	})
}

func TestWhatIsSetAfterEndBeginsANewSession(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	s := load(t, gate, token)
	noError(t, s.End(ctx))
	if !s.IsNew() || len(s.Names()) != 0 {
		t.Error("it has something left")
	}
	set(t, s, "flash", "bye")
	noError(t, s.Save(ctx))
	if s.Token() == token || value(t, gate, s.Token(), "a") != "" || value(t, gate, s.Token(), "flash") != `"bye"` {
		t.Error("it is no new session")
	}
}

func TestRoundTrips(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{SignKeys: [][]byte{randomKey(t), randomKey(t)}})
	var token string
	for _, c := range []struct {
		what  string
		trips int64
		call  func()
	}{
		{"a new session that nothing is stored in", 0, func() { noError(t, load(t, gate, "").Save(ctx)) }},
		{"the first write", 1, func() { token = stored(t, gate, map[string]any{"a": 1, "b": map[string]int{"c": 1}}) }},
		{"read", 1, func() {
			s := load(t, gate, token)
			_, err := s.Get("a", new(int))
			noError(t, errors.Join(err, s.Save(ctx)))
		}},
		{"read and write", 2, func() {
			s := load(t, gate, token)
			set(t, s, "a", 2)
			set(t, s, "d", 2)
			s.Delete("b")
			noError(t, s.Save(ctx))
			noError(t, s.Save(ctx))
		}},
		{"the same value again", 1, func() {
			s := load(t, gate, token)
			set(t, s, "a", 2)
			noError(t, s.Save(ctx))
		}},
		{"rotate", 2, func() {
			s := load(t, gate, token)
			noError(t, s.Rotate(ctx))
			token = s.Token()
		}},
		{"take", 2, func() {
			_, err := load(t, gate, token).Take(ctx, "d", new(int))
			noError(t, err)
		}},
		{"end", 2, func() { noError(t, load(t, gate, token).End(ctx)) }},
	} {
		if trips := p.trips(t, c.call); trips != c.trips {
			t.Errorf("%s: %d round trips instead of %d", c.what, trips, c.trips)
		}
	}
}

func TestAValueThatIsSpeltOtherwiseIsTheSame(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	spelt := "{ \"b\": [1, 2.50], \"a\": \"\\u0041\\/\" }" // as other languages may write it
	token := p.start(t, gate, Life{Payloads: map[string][]byte{"v": []byte(spelt), "raw": []byte("1.0")}})
	s := load(t, gate, token)
	var v any
	_, err := s.Get("v", &v)
	noError(t, err)
	noError(t, s.Set("v", map[string]any{"a": "A/", "b": []any{1, jsonNumber("2.50")}}))
	noError(t, s.Save(ctx))
	if got := value(t, gate, token, "v"); got != spelt {
		t.Errorf("it was written again: %s", got)
	}
	s = load(t, gate, token)
	noError(t, s.Set("v", map[string]any{"a": "A/", "b": []any{1, 3}}))
	noError(t, s.SetBytes("raw", []byte("1.00")))
	noError(t, s.Save(ctx))
	if got := value(t, gate, token, "v"); !strings.Contains(got, "3") {
		t.Errorf("the change was not written: %s", got)
	}
	if got := value(t, gate, token, "raw"); got != "1.00" {
		t.Errorf("bytes that differ were not written: %s", got)
	}
}

type jsonNumber string

func (n jsonNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func TestABrokenPayloadHidesNoOtherAndStays(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := p.start(t, gate, Life{Payloads: map[string][]byte{
		"broken": []byte("{secret-data"), "pickle": []byte("\x80\x04."), "good": []byte("7"), "two": []byte("1 2")}})
	s := load(t, gate, token)
	var v any
	for _, name := range []string{"broken", "pickle", "two"} {
		ok, err := s.Get(name, &v)
		wantError(t, name, err, ErrBadPayload)
		if !ok || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v %v", name, ok, err)
		}
	}
	_, err := s.Get("good", new(string))
	wantError(t, "a number as a string", err, ErrBadPayload)
	var good int
	if ok, err := s.Get("good", &good); !ok || err != nil || good != 7 {
		t.Errorf("good: %v %v %v", ok, err, good)
	}
	set(t, s, "good", 8)
	noError(t, s.Save(ctx))
	if got := value(t, gate, token, "broken"); got != "{secret-data" {
		t.Errorf("it was changed: %s", got)
	}
	s.Delete("broken")
	set(t, s, "pickle", "mended")
	set(t, s, "two", 1)
	noError(t, s.Save(ctx))
	if got := value(t, gate, token, "broken") + value(t, gate, token, "pickle") + value(t, gate, token, "two"); got != `"mended"1` {
		t.Errorf("after mending: %s", got)
	}
}

// curious is a value that asks its session while it is read.
type curious struct{ session *Session }

func (c *curious) UnmarshalJSON([]byte) error {
	_ = c.session.Names()
	return nil
}

func TestAValueMayAskItsSessionWhileItIsRead(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	s := load(t, gate, stored(t, gate, map[string]any{"a": 1, "b": 1}))
	read := make(chan error)
	go func() {
		_, getErr := s.Get("a", &curious{s})
		_, takeErr := s.Take(ctx, "b", &curious{s})
		read <- errors.Join(getErr, takeErr)
	}()
	select {
	case err := <-read:
		noError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for itself")
	}
}

func TestValuesThatCannotBeAreRefusedAtOnce(t *testing.T) {
	s := load(t, offline(t, Options{SignKeys: [][]byte{[]byte("k")}}), "")
	for what, err := range map[string]error{
		"an empty name":     s.Set("", 1),
		"a name too long":   s.Set(strings.Repeat("n", 201), 1),
		"a name no UTF-8":   s.Set("\xff", 1),
		"a channel":         s.Set("a", make(chan int)),
		"not a number":      s.Set("a", math.NaN()),
		"bytes without any": s.SetBytes("a", nil),
	} {
		wantError(t, what, err, ErrBadArgument)
	}
	noError(t, s.Set(strings.Repeat("n", 200), 1))
	if names := s.Names(); len(names) != 1 {
		t.Errorf("%q", names)
	}
}

func TestTakeGivesAValueToOne(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"code": 42, "other": 1})
		var mu sync.Mutex
		var all sync.WaitGroup
		got := 0
		for i := 0; i < 10; i++ {
			s := load(t, gate, token)
			all.Add(1)
			go func() {
				defer all.Done()
				var code int
				ok, err := s.Take(ctx, "code", &code)
				if err != nil || ok != (code == 42) {
					t.Errorf("%v %v %v", ok, code, err)
				}
				noError(t, s.Save(ctx))
				mu.Lock()
				defer mu.Unlock()
				if ok {
					got++
				}
			}()
		}
		all.Wait()
		if got != 1 {
			t.Errorf("%d got it", got)
		}
		if names := load(t, gate, token).Names(); !reflect.DeepEqual(names, []string{"other"}) {
			t.Errorf("left: %q", names)
		}
	})
}

func TestTakeOfWhatIsNotSavedYet(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	s := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
	set(t, s, "a", 2)
	var a int
	if ok, err := s.Take(ctx, "a", &a); !ok || err != nil || a != 2 {
		t.Errorf("%v %v %v", ok, err, a)
	}
	noError(t, s.Save(ctx))
	if got := value(t, gate, s.Token(), "a"); got != "" {
		t.Errorf("left: %s", got)
	}
	fresh := load(t, gate, "")
	set(t, fresh, "a", 3)
	if ok, err := fresh.Take(ctx, "a", &a); !ok || err != nil || a != 3 || len(fresh.Names()) != 0 {
		t.Errorf("new: %v %v %v", ok, err, a)
	}
}

func TestRotateLeavesTheOldTokenDead(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		older, newest := randomKey(t), randomKey(t)
		token := stored(t, p.gate(t, Options{SignKeys: [][]byte{older}}), map[string]any{"a": 1})
		gate := p.gate(t, Options{SignKeys: [][]byte{newest, older}})
		s := load(t, gate, token)
		set(t, s, "b", 2)
		noError(t, s.Rotate(ctx))
		noError(t, s.Save(ctx))
		if verified, _ := gate.Verify(s.Token()); verified.Position != 0 || s.Token() == token {
			t.Error("the token is not a new one of the newest key")
		}
		if !load(t, gate, token).IsNew() {
			t.Error("the old token opens the session")
		}
		if names := load(t, gate, s.Token()).Names(); !reflect.DeepEqual(names, []string{"a", "b"}) {
			t.Errorf("%q", names)
		}
		if fresh := load(t, gate, ""); fresh.Rotate(ctx) != nil || !fresh.IsNew() {
			t.Error("a session that is not stored was rotated")
		}
	})
}

func TestLoadingRestoresTheLifeWhereItIsDue(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, c := range []struct {
			refresh time.Duration
			left    time.Duration
			due     bool
		}{{0, 95 * time.Second, false}, {0, 50 * time.Second, true}, {-1, 95 * time.Second, true}} {
			gate := p.gate(t, Options{TTL: 100 * time.Second, Refresh: c.refresh})
			token := p.start(t, gate, Life{})
			noError(t, p.client.PExpire(ctx, token, c.left).Err())
			load(t, gate, token)
			ttl, err := p.client.PTTL(ctx, token).Result()
			if err != nil || (ttl > c.left) != c.due {
				t.Errorf("refresh %v, %v left: %v after the load, %v", c.refresh, c.left, ttl, err)
			}
		}
	})
}

func TestAReplicaLoadsWithoutTheRefresh(t *testing.T) {
	s := lend.Own(t, "--replicas", "1")
	master := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)}))
	replica := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(1)}))
	options := Options{SignKeys: [][]byte{randomKey(t)}, Refresh: -1}
	gate, err := New(master, options)
	noError(t, err)
	reader, err := New(replica, options)
	noError(t, err)
	token := stored(t, gate, map[string]any{"a": 1})
	noError(t, master.Wait(ctx, 1, 10*time.Second).Err())
	loaded := load(t, reader, token)
	if loaded.Token() != token || !reflect.DeepEqual(loaded.Names(), []string{"a"}) {
		t.Errorf("loaded: %q", loaded.Names())
	}
	set(t, loaded, "a", 2)
	var said redis.Error
	if err := loaded.Save(ctx); !errors.As(err, &said) || !strings.HasPrefix(said.Error(), "READONLY") {
		t.Errorf("a replica saved: %v", err)
	}
}

func TestAShorterLifeIsRestoredEarlier(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{}).WithTTL(100 * time.Second)
	token := p.start(t, gate, Life{})
	noError(t, p.client.PExpire(ctx, token, 55*time.Second).Err())
	load(t, gate, token)
	if ttl, err := gate.TTL(ctx, token); err != nil || ttl < 99*time.Second {
		t.Errorf("%v %v", ttl, err)
	}
}
