package sessiongate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func TestAPayloadIsSetWhereItsConditionHolds(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		was := []byte{0, 255, '\r', '\n', 'N', 'X'}
		token := p.start(t, gate, Life{Payloads: map[string][]byte{"a": was}})
		for _, c := range []struct {
			name    string
			options []SetOption
			held    bool
		}{
			{"a", []SetOption{IfEqual(was[:5])}, false},
			{"none", []SetOption{IfEqual(was)}, false},
			{"a", []SetOption{For(time.Hour), IfEqual(was)}, true},
			{"a", []SetOption{IfEqual(was)}, false},
			{"a", []SetOption{NX, For(time.Hour)}, false},
			{"a", []SetOption{XX, For(time.Hour)}, true},
			{"a", []SetOption{Always, IfEqual([]byte("new"))}, true},
			{"a", nil, true},
		} {
			if held, err := gate.PSet(ctx, token, c.name, []byte("new"), c.options...); err != nil || held != c.held {
				t.Errorf("%s %v: %v %v", c.name, c.options, held, err)
			}
		}
		noError(t, gate.PMSet(ctx, token, map[string][]byte{"a": was}))
		for _, c := range []struct {
			name string
			data []byte
			held bool
		}{{"a", []byte("new"), false}, {"none", was, false}, {"a", was, true}, {"a", was, false}} {
			if held, err := gate.PDelIfEqual(ctx, token, c.name, c.data); err != nil || held != c.held {
				t.Errorf("PDelIfEqual %v: %v %v", c, held, err)
			}
		}
		_, err := gate.PDelIfEqual(ctx, token, "a", nil)
		wantError(t, "PDelIfEqual of nothing", err, ErrBadArgument)
		_, err = gate.PSet(ctx, token, "a", was, IfEqual(nil))
		wantError(t, "IfEqual of nothing", err, ErrBadArgument)
		noError(t, gate.End(ctx, token))
		_, err = gate.PDelIfEqual(ctx, token, "a", was)
		wantError(t, "PDelIfEqual of no session", err, ErrNoSession)
		_, err = gate.PTTL(ctx, token, "a")
		wantError(t, "PTTL of no session", err, ErrNoSession)
	})
}

func TestAPayloadWithALifeOfItsOwnEndsByItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := p.start(t, gate, Life{Payloads: map[string][]byte{"a": []byte("1")}})
		if left, err := gate.PTTL(ctx, token, "a"); err != nil || left >= 0 {
			t.Errorf("without one: %v %v", left, err)
		}
		_, err := gate.PTTL(ctx, token, "none")
		wantError(t, "PTTL of none", err, ErrNoPayload)
		_, err = gate.PSet(ctx, token, "long", []byte("x"), For(90*time.Minute))
		noError(t, err)
		if left, err := gate.PTTL(ctx, token, "long"); err != nil || left > 90*time.Minute || left < 89*time.Minute {
			t.Errorf("past the session's end: %v %v", left, err)
		}
		_, err = gate.PSet(ctx, token, "long", []byte("y"))
		noError(t, err)
		if left, err := gate.PTTL(ctx, token, "long"); err != nil || left >= 0 {
			t.Errorf("set again without one: %v %v", left, err)
		}
		_, err = gate.PSet(ctx, token, "short", []byte("x"), For(20*time.Millisecond))
		noError(t, err)
		noError(t, lend.Wait(func() bool {
			_, err := gate.PTTL(ctx, token, "short")
			return errors.Is(err, ErrNoPayload)
		}))
		if held, err := gate.PSet(ctx, token, "short", []byte("x"), NX, For(time.Nanosecond)); err != nil || !held {
			t.Errorf("what is over was there for NX: %v %v", held, err)
		}
		for _, life := range []time.Duration{0, -1, 1 << 62} {
			_, err := gate.PSet(ctx, token, "a", []byte("x"), For(life))
			wantError(t, fmt.Sprint("a life of ", life), err, ErrBadArgument)
		}
	})
}

func TestOptionsOfPSetThatExcludeEachOtherAreNotSent(t *testing.T) {
	gate := offline(t, Options{SignKeys: [][]byte{[]byte("k")}})
	token, err := gate.Mint()
	noError(t, err)
	for _, options := range [][]SetOption{{NX, XX}, {NX, IfEqual([]byte("a"))}, {XX, For(1), XX}, {For(1), For(1)}} {
		_, err := gate.PSet(ctx, token, "a", []byte("x"), options...)
		wantError(t, fmt.Sprint(options), err, ErrBadArgument)
	}
}

func TestALoginKeepsTheLivesOfPayloads(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"cart": 1, "changed": 1})
		for _, name := range []string{"code", "changed"} {
			_, err := gate.PSet(ctx, token, name, []byte("123456"), For(5*time.Minute))
			noError(t, err)
		}
		s := load(t, gate, token)
		set(t, s, "changed", 2)
		noError(t, s.Login(ctx, ownerOf(t), 0))
		if left, err := gate.PTTL(ctx, s.Token(), "code"); err != nil || left > 5*time.Minute || left < 4*time.Minute {
			t.Errorf("the code's life: %v %v", left, err)
		}
		for _, name := range []string{"cart", "changed"} {
			if left, err := gate.PTTL(ctx, s.Token(), name); err != nil || left >= 0 {
				t.Errorf("%s's life: %v %v", name, left, err)
			}
		}
		if value(t, gate, s.Token(), "code") != "123456" || value(t, gate, s.Token(), "changed") != "2" {
			t.Error("not the same values")
		}
	})
}

// inLock runs block with a session's lock for as long as tests may take.
func inLock(s *Session, name string, block func(ctx context.Context) error) error {
	return s.Lock(ctx, name, 30*time.Second, block)
}

// increment adds one to a value; without a lock around it some are lost.
func increment(s *Session) error {
	var n int
	_, err := s.Get("n", &n)
	return errors.Join(err, s.Set("n", n+1))
}

func TestALockLosesNoIncrement(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"n": 0})
		var all sync.WaitGroup
		for i := 0; i < 2; i++ {
			s := load(t, gate, token)
			all.Add(1)
			go func() {
				defer all.Done()
				for j := 0; j < 100; j++ {
					if err := inLock(s, "n", func(context.Context) error { return increment(s) }); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		all.Wait()
		if got := value(t, gate, token, "n"); got != "200" {
			t.Errorf("%s", got)
		}
		if payloads, err := gate.PGetAll(ctx, token); err != nil || len(payloads) != 1 {
			t.Errorf("left: %q %v", payloads, err)
		}
	})
}

func TestOneSessionUsedByManyTakesItsLockByTurns(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	s := load(t, gate, stored(t, gate, map[string]any{"n": 0}))
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 10; j++ {
				if err := inLock(s, "n", func(context.Context) error { return increment(s) }); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	if got := value(t, gate, s.Token(), "n"); got != "40" {
		t.Errorf("%s", got)
	}
}

func TestALockSavesBeforeAndAfterAndReadsAfresh(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	s, other := load(t, gate, token), load(t, gate, token)
	set(t, s, "before", 1)
	set(t, other, "a", 2)
	noError(t, other.Save(ctx))
	trips := p.trips(t, func() {
		noError(t, inLock(s, "x", func(inside context.Context) error {
			var a int
			if _, err := s.Get("a", &a); err != nil || a != 2 {
				t.Errorf("read: %d %v", a, err)
			}
			if ends, ok := inside.Deadline(); !ok || time.Until(ends) > 30*time.Second {
				t.Error("the context does not end with the lock")
			}
			s.Delete("before")
			return s.Set("within", 1)
		}))
	})
	if trips != 5 { // save, lock, read, save, release
		t.Errorf("%d round trips", trips)
	}
	if names := load(t, gate, token).Names(); !reflect.DeepEqual(names, []string{"a", "within"}) {
		t.Errorf("%q", names)
	}
}

func TestALockIsInNoSession(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		s := load(t, gate, "")
		set(t, s, "a", 1)
		owner := ownerOf(t)
		noError(t, s.Login(ctx, owner, 0))
		token := s.Token()
		noError(t, inLock(s, "cart", func(context.Context) error {
			if _, err := gate.PGet(ctx, token, "\x00lock:cart"); err != nil {
				t.Errorf("there is none: %v", err)
			}
			for _, session := range []*Session{s, load(t, gate, token)} {
				_, seen := session.Bytes("\x00lock:cart")
				if names := session.Names(); seen || !reflect.DeepEqual(names, []string{"a"}) {
					t.Errorf("seen %v, names %q", seen, names)
				}
				wantError(t, "Set", session.Set("\x00lock:cart", 1), ErrBadArgument)
				wantError(t, "SetBytes", session.SetBytes("\x00lock:cart", []byte("x")), ErrBadArgument)
				_, err := session.Take(ctx, "\x00lock:cart", new(any))
				wantError(t, "Take", err, ErrBadArgument)
				session.Delete("\x00lock:cart")
				session.Delete("a")
				noError(t, session.Save(ctx))
				set(t, session, "a", 1)
				noError(t, session.Save(ctx))
			}
			if _, err := gate.PGet(ctx, token, "\x00lock:cart"); err != nil {
				t.Errorf("it is gone: %v", err)
			}
			devices, err := gate.Sessions(ctx, owner, token)
			if err != nil || len(devices) != 1 || len(devices[0].Payloads) != 1 {
				t.Errorf("devices: %v %v", devices, err)
			}
			emptied := load(t, gate, token)
			emptied.Delete("a")
			_, err = emptied.SaveOrEnd(ctx)
			noError(t, err)
			return nil
		}))
		if _, err := gate.TTL(ctx, token); !errors.Is(err, ErrNoSession) {
			t.Errorf("a lock alone kept a session that was emptied: %v", err)
		}
	})
}

func TestALockThatAnotherOneHasIsWaitedForWithABound(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	s, other := load(t, gate, token), load(t, gate, token)
	never := func(context.Context) error { t.Error("it has the lock"); return nil }
	noError(t, inLock(s, "x", func(inside context.Context) error {
		for _, wait := range []time.Duration{0, 30 * time.Millisecond} {
			wantError(t, "another request", other.LockWait(ctx, "x", time.Second, wait, never), ErrLockTimeout)
		}
		wantError(t, "a wait of its life", other.Lock(ctx, "x", time.Millisecond, never), ErrLockTimeout)
		wantError(t, "not re-entrant", s.LockWait(ctx, "x", time.Second, 10*time.Millisecond, never), ErrLockTimeout)
		late, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		wantError(t, "a context that ends", other.Lock(late, "x", time.Minute, never), context.DeadlineExceeded)
		ran := false
		noError(t, inLock(other, "y", func(context.Context) error { ran = true; return nil }))
		if !ran {
			t.Error("a lock of another name did not run")
		}
		if _, err := gate.PGet(ctx, token, "\x00lock:x"); err != nil {
			t.Errorf("who only waited has released it: %v", err)
		}
		return nil
	}))
	noError(t, other.LockWait(ctx, "x", time.Second, 0, func(context.Context) error { return nil }))
}

func TestALockWhoseHolderIsDeadEndsByItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := stored(t, gate, map[string]any{"a": 1})
		_, err := gate.PSet(ctx, token, "\x00lock:x", []byte("a dead one's"), NX, For(200*time.Millisecond))
		noError(t, err)
		ran := false
		noError(t, inLock(load(t, gate, token), "x", func(context.Context) error { ran = true; return nil }))
		if !ran {
			t.Error("it did not run")
		}
	})
}

func TestReleaseLeavesAnothersLock(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	s := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
	noError(t, inLock(s, "x", func(context.Context) error { // it ended too early, and another one took it
		_, err := gate.PSet(ctx, s.Token(), "\x00lock:x", []byte("another's"), For(time.Minute))
		return err
	}))
	if got := value(t, gate, s.Token(), "\x00lock:x"); got != "another's" {
		t.Errorf("%q", got)
	}
	noError(t, s.Lock(ctx, "y", 20*time.Millisecond, func(inside context.Context) error { // longer than its life
		<-inside.Done()
		return s.Set("late", 1)
	}))
	if got := value(t, gate, s.Token(), "late"); got != "1" {
		t.Errorf("not saved: %q", got)
	}
}

func TestALockIsReleasedInEveryCase(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		failed := errors.New("failed")
		for what, c := range map[string]struct {
			block func(s *Session, cancel func()) error
			want  error
		}{
			"an error":  {func(s *Session, _ func()) error { return failed }, failed},
			"a context": {func(s *Session, cancel func()) error { cancel(); return nil }, context.Canceled},
			"both":      {func(s *Session, cancel func()) error { cancel(); return failed }, failed},
			"a panic":   {func(*Session, func()) error { panic(failed) }, failed},
			"Rotate":    {func(s *Session, _ func()) error { return s.Rotate(ctx) }, nil},
			"Login":     {func(s *Session, _ func()) error { return s.Login(ctx, ownerOf(t), 0) }, nil},
		} {
			s := load(t, gate, stored(t, gate, map[string]any{"n": 1}))
			cancelable, cancel := context.WithCancel(ctx)
			err := func() (err error) {
				defer func() {
					if thrown := recover(); thrown != nil {
						err = thrown.(error)
					}
				}()
				return s.Lock(cancelable, "x", 30*time.Second, func(context.Context) error {
					return errors.Join(increment(s), c.block(s, cancel))
				})
			}()
			cancel()
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v", what, err)
			}
			if payloads, err := gate.PGetAll(ctx, s.Token()); err != nil || len(payloads) != 1 {
				t.Errorf("%s: %q %v", what, payloads, err)
			}
			want := 1
			if c.want == nil {
				want = 2
			}
			noError(t, s.Save(ctx)) // as Handler does at the end: not what failed
			var n int
			if _, err := s.Get("n", &n); err != nil || n != want || value(t, gate, s.Token(), "n") != fmt.Sprint(want) {
				t.Errorf("%s: %d %v, stored %s", what, n, err, value(t, gate, s.Token(), "n"))
			}
		}
	})
}

func TestASessionThatIsEndedWithinItsLock(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		s := load(t, gate, stored(t, gate, map[string]any{"n": 1}))
		token := s.Token()
		wantError(t, "ended elsewhere", inLock(s, "x", func(context.Context) error {
			return errors.Join(gate.End(ctx, s.Token()), increment(s))
		}), ErrNoSession)
		wantError(t, "a lock of an ended session", inLock(s, "x", func(context.Context) error {
			t.Error("it runs")
			return nil
		}), ErrNoSession)
		if p.client.Exists(ctx, token).Val() != 0 {
			t.Error("the session is there again")
		}
		s = load(t, gate, stored(t, gate, map[string]any{"n": 1}))
		noError(t, inLock(s, "x", func(context.Context) error { return gate.End(ctx, s.Token()) }))
		s = load(t, gate, stored(t, gate, map[string]any{"n": 1}))
		noError(t, inLock(s, "x", func(context.Context) error { return errors.Join(s.End(ctx), s.Set("new", 1)) }))
		if payloads, err := gate.PGetAll(ctx, s.Token()); err != nil || len(payloads) != 1 {
			t.Errorf("the new one: %q %v", payloads, err)
		}
	})
}

func TestALockOfASessionThatIsNotStored(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	s := load(t, gate, "")
	trips := p.trips(t, func() {
		noError(t, inLock(s, "x", func(context.Context) error { return nil }))
		wantError(t, "an error", inLock(s, "x", func(context.Context) error {
			return errors.Join(s.Set("a", 1), http.ErrAbortHandler)
		}), http.ErrAbortHandler)
	})
	if trips != 0 || !s.IsNew() || len(s.Names()) != 0 {
		t.Errorf("%d round trips, names %q", trips, s.Names())
	}
	noError(t, inLock(s, "x", func(context.Context) error { return s.Set("a", 1) }))
	if value(t, gate, s.Token(), "a") != "1" {
		t.Error("not saved")
	}
	s = load(t, gate, "")
	set(t, s, "a", 1)
	noError(t, inLock(s, "x", func(context.Context) error {
		_, err := gate.PGet(ctx, s.Token(), "\x00lock:x")
		return err
	}))
}

func TestLocksThatCannotBeAreRefused(t *testing.T) {
	s := load(t, offline(t, Options{SignKeys: [][]byte{[]byte("k")}}), "")
	never := func(context.Context) error { t.Error("it runs"); return nil }
	for what, err := range map[string]error{
		"an empty name":   s.Lock(ctx, "", 1, never),
		"a name too long": s.Lock(ctx, strings.Repeat("n", 195), 1, never),
		"no UTF-8":        s.Lock(ctx, "\xff", 1, never),
		"no life":         s.Lock(ctx, "x", 0, never),
		"a negative life": s.LockWait(ctx, "x", -1, 0, never),
		"a negative wait": s.LockWait(ctx, "x", 1, -1, never),
	} {
		wantError(t, what, err, ErrBadArgument)
	}
	p := single(t)
	gate := p.gate(t, Options{})
	s = load(t, gate, stored(t, gate, map[string]any{"a": 1}))
	noError(t, inLock(s, strings.Repeat("n", 194), func(context.Context) error { return nil }))
	wantError(t, "a life too long", s.Lock(ctx, "x", 1<<62, never), ErrBadArgument)
}

func TestALockWhoseRepliesAreLost(t *testing.T) {
	direct := single(t)
	l := newLossy(t, direct.servers.Addr(0))
	p := place{"lossy", direct.servers, closed(t, redis.NewClient(&redis.Options{Addr: l.listener.Addr().String()})), false}
	gate := p.gate(t, Options{})
	s := load(t, gate, stored(t, gate, map[string]any{"n": 0}))
	for _, command := range []string{"PSET", "PDEL"} {
		l.loseNext("SESSIONGATE." + command)
		noError(t, s.LockWait(ctx, "x", 30*time.Second, 0, func(context.Context) error { return increment(s) }))
	}
	if got := value(t, gate, s.Token(), "n"); got != "2" {
		t.Errorf("%s", got)
	}
	once := place{"lossy", direct.servers, closed(t, redis.NewClient(&redis.Options{Addr: l.listener.Addr().String(), MaxRetries: -1})), false}
	s, err := once.gate(t, Options{SignKeys: [][]byte{(*gate.keys)[0].bytes}}).Session(ctx, s.Token())
	noError(t, err)
	l.loseNext("SESSIONGATE.PSET")
	if err := inLock(s, "x", func(context.Context) error { t.Error("it runs"); return nil }); err == nil {
		t.Error("a lost reply is no error")
	}
	if payloads, err := gate.PGetAll(ctx, s.Token()); err != nil || len(payloads) != 1 {
		t.Errorf("left behind: %q %v", payloads, err)
	}
}

func TestALockThatIsHeldByAGoneServerReportsTheBlocksError(t *testing.T) {
	s := lend.Own(t)
	p := place{"redis", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0), MaxRetries: -1})), false}
	gate := p.gate(t, Options{})
	session := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
	failed := errors.New("failed")
	err := inLock(session, "x", func(context.Context) error {
		s.Tell(t, "kill 0")
		return failed
	})
	if err != failed {
		t.Errorf("%v", err)
	}
}

func TestNoTextOfALockShowsASignKeyOrAToken(t *testing.T) {
	key := randomKey(t)
	p := single(t)
	hook := &spy{}
	p.client.AddHook(hook)
	gate := p.gate(t, Options{SignKeys: [][]byte{key}})
	s := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
	token := s.Token()
	_, setErr := gate.PSet(ctx, token, "a", []byte("x"), IfEqual([]byte("y")), For(-1))
	_, delErr := gate.PDelIfEqual(ctx, token, "a", nil)
	_, ttlErr := gate.PTTL(ctx, token, "none")
	var inner error
	noError(t, inLock(s, "x", func(context.Context) error {
		inner = s.LockWait(ctx, "x", time.Second, 0, nil)
		return nil
	}))
	noError(t, gate.End(ctx, token))
	ended := inLock(s, "x", nil)
	for _, err := range []error{setErr, delErr, ttlErr, inner, ended, s.Lock(ctx, "", 1, nil)} {
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%v", err)
		}
		showsNothing(t, key, err)
	}
	hides(t, key, hook.seen.String())
	if !bytes.Contains(hook.seen.Bytes(), []byte("SESSIONGATE.PTTL")) {
		t.Error("the hook saw nothing")
	}
}
