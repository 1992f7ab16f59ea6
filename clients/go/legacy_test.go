package sessiongate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// old makes a driver as programs of the first SessionGate do.
func old(t testing.TB) *Sessiongate {
	t.Helper()
	s, err := NewSessiongate(&Config{SignKey: randomKey(t), Addr: lend.Shared(t).Addr(0)})
	noError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *Sessiongate) begin(t testing.TB) []byte {
	t.Helper()
	token, err := s.Start(300)
	noError(t, err)
	return token
}

func TestNewSessiongate(t *testing.T) {
	for what, config := range map[string]*Config{
		"no sign key":       {Addr: "127.0.0.1:1"},
		"an empty sign key": {SignKey: []byte{}, Addr: "127.0.0.1:1"},
		"no config":         nil,
	} {
		t.Run(what, func(t *testing.T) {
			if s, err := NewSessiongate(config); err == nil || s != nil {
				t.Error("made")
			}
		})
	}
	key := []byte("a sign key")
	for _, c := range []struct {
		what   string
		config Config
		want   redis.Options
	}{
		{"defaults", Config{SignKey: key}, redis.Options{Addr: ":6379", MaxIdleConns: 3, ConnMaxIdleTime: 240 * time.Second}},
		{"Addr given", Config{SignKey: key, Addr: "localhost:1"},
			redis.Options{Addr: "localhost:1", MaxIdleConns: 3, ConnMaxIdleTime: 240 * time.Second}},
		{"MaxIdle given", Config{SignKey: key, MaxIdle: 9},
			redis.Options{Addr: ":6379", MaxIdleConns: 9, ConnMaxIdleTime: 240 * time.Second}},
		{"IdleTimeout given", Config{SignKey: key, IdleTimeout: time.Minute},
			redis.Options{Addr: ":6379", MaxIdleConns: 3, ConnMaxIdleTime: time.Minute}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s, err := NewSessiongate(&c.config) // connects to nobody
			noError(t, err)
			defer func() { _ = s.Close() }()
			got := s.gate.client.(*redis.Client).Options()
			if got.Addr != c.want.Addr || got.MaxIdleConns != c.want.MaxIdleConns || got.ConnMaxIdleTime != c.want.ConnMaxIdleTime {
				t.Errorf("%s, %d, %v", got.Addr, got.MaxIdleConns, got.ConnMaxIdleTime)
			}
		})
	}
}

func TestOldStart(t *testing.T) {
	s := old(t)
	t.Run("a session", func(t *testing.T) {
		if token := s.begin(t); len(token) != v1Len && len(token) != v2Len {
			t.Errorf("%s is no token", token)
		}
	})
	t.Run("a negative ttl", func(t *testing.T) {
		_, err := s.Start(-1)
		wantError(t, "Start", err, ErrBadArgument)
	})
}

func TestOldExpire(t *testing.T) {
	s := old(t)
	token := s.begin(t)
	t.Run("a new life", func(t *testing.T) { noError(t, s.Expire(token, 500)) })
	t.Run("a negative ttl", func(t *testing.T) { wantError(t, "Expire", s.Expire(token, -1), ErrBadArgument) })
	t.Run("a ttl too large", func(t *testing.T) { wantError(t, "Expire", s.Expire(token, 1<<62), ErrBadArgument) })
}

func TestOldPSet(t *testing.T) {
	s := old(t)
	token := s.begin(t)
	t.Run("an empty name", func(t *testing.T) { wantError(t, "PSet", s.PSet(token, nil, []byte("x")), ErrBadArgument) })
	t.Run("an empty payload", func(t *testing.T) { wantError(t, "PSet", s.PSet(token, []byte("n"), nil), ErrBadArgument) })
	t.Run("overwriting", func(t *testing.T) {
		noError(t, errors.Join(s.PSet(token, []byte("n"), []byte("1")), s.PSet(token, []byte("n"), []byte("2"))))
		if got, err := s.PGet(token, []byte("n")); err != nil || string(got) != "2" {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestOldDataAreBytes(t *testing.T) {
	s := old(t)
	token := s.begin(t)
	for what, data := range map[string]string{
		"JSON":            `{"user": "Ada", "roles": ["admin", "café"], "n": 1.5e3}`,
		"UTF-8":           "Привет, 世界 🌍",
		"arbitrary bytes": "\x00\x01\xff\xfe\r\n$5\r\n*1\r\n\x80",
	} {
		t.Run(what+" as payload", func(t *testing.T) {
			noError(t, s.PSet(token, []byte("name"), []byte(data)))
			if got, err := s.PGet(token, []byte("name")); err != nil || string(got) != data {
				t.Errorf("%q %v", got, err)
			}
		})
		t.Run(what+" as name", func(t *testing.T) {
			noError(t, s.PSet(token, []byte(data), []byte("payload")))
			if got, err := s.PGet(token, []byte(data)); err != nil || string(got) != "payload" {
				t.Errorf("%q %v", got, err)
			}
			noError(t, s.PDel(token, []byte(data)))
		})
	}
}

func TestOldNamesThatAreNotThere(t *testing.T) {
	s := old(t)
	expired, err := s.Start(1)
	noError(t, err)
	noError(t, s.Expire(expired, 0))
	ended := s.begin(t)
	noError(t, s.End(ended))
	for what, call := range map[string]func(token, name []byte) error{
		"PGet": func(token, name []byte) error { _, err := s.PGet(token, name); return err },
		"PDel": s.PDel,
		"PSet": func(token, name []byte) error { return s.PSet(token, name, []byte("x")) },
		"End":  func(token, _ []byte) error { return s.End(token) },
	} {
		t.Run(what+" in an expired session", func(t *testing.T) {
			wantError(t, what, call(expired, []byte("n")), ErrNoSession)
		})
		t.Run(what+" in an ended session", func(t *testing.T) {
			wantError(t, what, call(ended, []byte("n")), ErrNoSession)
		})
		t.Run(what+" with an empty token", func(t *testing.T) {
			wantError(t, what, call(nil, []byte("n")), ErrBadArgument)
		})
		t.Run(what+" with a token that is none", func(t *testing.T) {
			wantError(t, what, call([]byte("no token"), []byte("n")), ErrBadToken)
		})
		if what == "End" {
			continue
		}
		t.Run(what+" with an empty name", func(t *testing.T) {
			wantError(t, what, call(s.begin(t), nil), ErrBadArgument)
		})
		if what == "PSet" {
			continue
		}
		t.Run(what+" of a name not set", func(t *testing.T) {
			wantError(t, what, call(s.begin(t), []byte("n")), ErrNoPayload)
		})
	}
}

func TestOldEnd(t *testing.T) {
	s := old(t)
	token := s.begin(t)
	noError(t, s.End(token))
	wantError(t, "End again", s.End(token), ErrNoSession)
}

func TestTheOldDriverKeepsNoMoreConnectionsThanMaxIdle(t *testing.T) {
	s := lend.Own(t)
	admin := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)}))
	connections := func() int { return strings.Count(admin.ClientList(ctx).Val(), "\n") }
	before := connections()
	driver, err := NewSessiongate(&Config{SignKey: randomKey(t), Addr: s.Addr(0), MaxIdle: 2})
	noError(t, err)
	token := driver.begin(t)
	done := make(chan error)
	for i := 0; i < 20; i++ {
		go func(i int) {
			var err error
			for j := 0; j < 20 && err == nil; j++ {
				err = driver.PSet(token, []byte(fmt.Sprint(i)), []byte("x"))
			}
			done <- err
		}(i)
	}
	for i := 0; i < 20; i++ {
		noError(t, <-done)
	}
	noError(t, lend.Wait(func() bool { return connections()-before <= 2 }))
	noError(t, driver.Close())
	noError(t, lend.Wait(func() bool { return connections() == before }))
}
