package sessiongate

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// ownerOf is a label that no other test uses.
func ownerOf(t testing.TB) string { return "owner:" + string(randomKey(t)) }

func ostart(t testing.TB, gate *Gate, owner string, life Life) string {
	t.Helper()
	token, err := gate.OStart(ctx, owner, life)
	noError(t, err)
	return token
}

func olist(t testing.TB, gate *Gate, owner string) []string {
	t.Helper()
	tokens, err := gate.OList(ctx, owner)
	noError(t, err)
	return tokens
}

func TestOwnersCommands(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, owner := p.gate(t, Options{}), ownerOf(t)
		if tokens := olist(t, gate, owner); len(tokens) != 0 {
			t.Errorf("an owner without sessions: %q", tokens)
		}
		if n, err := gate.OEnd(ctx, owner); n != 0 || err != nil {
			t.Errorf("OEnd of none: %d %v", n, err)
		}
		first := ostart(t, gate, owner, Life{TTL: time.Minute, MaxTTL: time.Hour, Payloads: map[string][]byte{"a": []byte("1")}})
		second := ostart(t, gate, owner, Life{})
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{first, second}) {
			t.Errorf("%q", tokens)
		}
		info, err := gate.Info(ctx, first)
		if err != nil || info.Owner != owner || info.Idle != time.Minute || info.Deadline.IsZero() || info.Payloads != 1 {
			t.Errorf("%+v %v", info, err)
		}
		third := ostart(t, gate, owner, Life{Limit: 2})
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{second, third}) {
			t.Errorf("LIMIT 2 left %q", tokens)
		}
		_, err = gate.OEnd(ctx, owner, first)
		wantError(t, "KEEP of an ended session", err, ErrNoSession)
		_, err = gate.OEnd(ctx, owner, first, third)
		wantError(t, "OEnd that keeps two", err, ErrBadArgument)
		_, err = gate.EndAll(ctx, owner, load(t, gate, "").Token())
		wantError(t, "EndAll that keeps a session which is not stored", err, ErrNoSession)
		_, err = gate.OEnd(ctx, owner, "no token")
		wantError(t, "KEEP of no token", err, ErrBadToken)
		if tokens := olist(t, gate, owner); len(tokens) != 2 {
			t.Errorf("a refused OEND left %q", tokens)
		}
		if n, err := gate.EndAll(ctx, owner, third); n != 1 || err != nil {
			t.Errorf("EndAll: %d %v", n, err)
		}
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{third}) {
			t.Errorf("KEEP left %q", tokens)
		}
		_, err = gate.OStart(ctx, "", Life{})
		wantError(t, "an empty owner", err, ErrBadArgument)
	})
}

func TestOwnersOfAllSignKeysAreListedAndEnded(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		older, newest, owner := randomKey(t), randomKey(t), ownerOf(t)
		before := p.gate(t, Options{SignKeys: [][]byte{older}})
		gate := p.gate(t, Options{SignKeys: [][]byte{newest, older}})
		other := p.gate(t, Options{})
		old1, old2 := ostart(t, before, owner, Life{}), ostart(t, before, owner, Life{})
		new1 := ostart(t, gate, owner, Life{})
		foreign := ostart(t, other, owner, Life{})
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{new1, old1, old2}) {
			t.Errorf("%q", tokens)
		}
		if n, err := gate.OEnd(ctx, owner, old1); n != 2 || err != nil {
			t.Errorf("OEnd: %d %v", n, err)
		}
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{old1}) {
			t.Errorf("KEEP of an older key left %q", tokens)
		}
		if tokens := olist(t, other, owner); !reflect.DeepEqual(tokens, []string{foreign}) {
			t.Errorf("another application has %q", tokens)
		}
	})
}

func TestDevices(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, owner := p.gate(t, Options{}), ownerOf(t)
		if devices, err := gate.Sessions(ctx, owner, ""); len(devices) != 0 || err != nil {
			t.Errorf("of none: %v %v", devices, err)
		}
		phone := ostart(t, gate, owner, Life{Payloads: map[string][]byte{"agent": []byte("phone")}})
		laptop := ostart(t, gate, owner, Life{Payloads: map[string][]byte{"agent": []byte("laptop")}})
		devices, err := gate.Sessions(ctx, owner, laptop)
		if err != nil || len(devices) != 2 || devices[0].Current || !devices[1].Current ||
			string(devices[0].Payloads["agent"]) != "phone" || time.Since(devices[0].Started) > time.Minute ||
			devices[0].ID == devices[1].ID || len(devices[0].ID) != 32 {
			t.Fatalf("%+v %v", devices, err)
		}
		if ok, err := gate.EndSession(ctx, owner, devices[0].ID); !ok || err != nil {
			t.Errorf("EndSession: %v %v", ok, err)
		}
		if ok, err := gate.EndSession(ctx, owner, devices[0].ID); ok || err != nil {
			t.Errorf("EndSession again: %v %v", ok, err)
		}
		if !load(t, gate, phone).IsNew() || load(t, gate, laptop).IsNew() {
			t.Error("the wrong session ended")
		}
	})
}

func TestLoginGivesAnOwnerANewSession(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, owner := p.gate(t, Options{}), ownerOf(t)
		visitor := stored(t, gate, map[string]any{"cart": 3, "gone": 1})
		s := load(t, gate, visitor)
		set(t, s, "user", "ada")
		s.Delete("gone")
		other := load(t, gate, visitor) // another request of that visitor, meanwhile
		set(t, other, "late", 1)
		noError(t, other.Save(ctx))
		noError(t, s.Login(ctx, owner, 0))
		if got := s.Names(); !reflect.DeepEqual(got, []string{"cart", "late", "user"}) {
			t.Errorf("%q", got)
		}
		if !load(t, gate, visitor).IsNew() {
			t.Error("the visitor's token opens something")
		}
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{s.Token()}) {
			t.Errorf("%q", tokens)
		}
		if got := load(t, gate, s.Token()).Names(); !reflect.DeepEqual(got, []string{"cart", "late", "user"}) {
			t.Errorf("stored: %q", got)
		}

		before := s.Token()
		noError(t, s.Login(ctx, owner, 0))
		if tokens := olist(t, gate, owner); s.Token() == before || !reflect.DeepEqual(tokens, []string{s.Token()}) {
			t.Errorf("the same owner again: %q", tokens)
		}
		fresh := load(t, gate, "")
		set(t, fresh, "a", 1)
		noError(t, fresh.Login(ctx, owner, 1))
		if tokens := olist(t, gate, owner); !reflect.DeepEqual(tokens, []string{fresh.Token()}) {
			t.Errorf("with a limit of 1: %q", tokens)
		}
		wantError(t, "Save of what the limit ended", errors.Join(s.Set("x", 1), s.Save(ctx)), ErrNoSession)
	})
}

func TestNobodyIsLoggedInToASessionThatWasEnded(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, owner := p.gate(t, Options{}), ownerOf(t)
		s := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
		noError(t, gate.End(ctx, s.Token()))
		wantError(t, "Login", s.Login(ctx, owner, 0), ErrNoSession)
		if tokens := olist(t, gate, owner); len(tokens) != 0 {
			t.Errorf("%q", tokens)
		}
	})
}

// afterwards calls back when a command of that name was carried out.
type afterwards struct {
	spy
	name string
	call func()
}

func (a *afterwards) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == a.name {
			a.call()
		}
		return err
	}
}

func TestASessionThatEndsInTheMiddleOfALoginLogsNobodyIn(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate, owner := p.gate(t, Options{}), ownerOf(t)
		s := load(t, gate, stored(t, gate, map[string]any{"a": 1}))
		before := s.Token()
		p.client.AddHook(&afterwards{name: "sessiongate.ostart", call: func() {
			if err := p.client.Unlink(ctx, before).Err(); err != nil {
				t.Error(err)
			}
		}})
		wantError(t, "Login", s.Login(ctx, owner, 0), ErrNoSession)
		if tokens := olist(t, gate, owner); len(tokens) != 0 {
			t.Errorf("a session of nobody's is left: %q", tokens)
		}
		if s.Token() != before {
			t.Error("the session has another token")
		}
	})
}

func TestALoginTakesFiveRoundTrips(t *testing.T) {
	p := single(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	trips := p.trips(t, func() { noError(t, load(t, gate, token).Login(ctx, ownerOf(t), 0)) })
	if trips != 5 { // load, read afresh, lives, OSTART, END
		t.Errorf("%d", trips)
	}
}

func TestOwnersAreFoundWhileTheirSlotMoves(t *testing.T) {
	p := cluster(t)
	for what, call := range map[string]func(gate *Gate, owner, token string) error{
		"OList": func(gate *Gate, owner, token string) error {
			tokens, err := gate.OList(ctx, owner)
			if err == nil && !reflect.DeepEqual(tokens, []string{token}) {
				err = errors.New("the list is not whole")
			}
			return err
		},
		"OEnd": func(gate *Gate, owner, _ string) error {
			n, err := gate.OEnd(ctx, owner)
			if err == nil && n != 1 {
				err = errors.New("not all ended")
			}
			return err
		},
		"OStart": func(gate *Gate, owner, _ string) error {
			_, err := gate.OStart(ctx, owner, Life{})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			gate, owner := p.gate(t, Options{}), ownerOf(t)
			token := ostart(t, gate, owner, Life{})
			at := p.servers.Tell(t, "slot %s", owner)
			from := int(at["node"].(float64))
			to := (from + 1) % 3
			p.servers.Tell(t, "importing %v %d %d", at["slot"], from, to)
			moved, later := owner, token
			if what == "OStart" { // it needs a place for its new session alone
				moved, later = token, owner
			}
			p.servers.Tell(t, "movekey %s %d %d", moved, from, to)
			met := func() int64 { return p.stat(t, "errorstats", "errorstat_TRYAGAIN") }
			before, done := met(), make(chan error, 1)
			go func() { done <- call(gate, owner, token) }()
			err := lend.Wait(func() bool { return met() > before })
			p.servers.Tell(t, "movekey %s %d %d", later, from, to)
			p.servers.Tell(t, "settle %v %d", at["slot"], to)
			noError(t, errors.Join(err, <-done))
		})
	}
}

func TestLoginsAndLogoutsOfBrowsers(t *testing.T) {
	p := single(t)
	owner := ownerOf(t)
	var gate *Gate
	gate, server, f := site(t, p, routes{
		"/count": count, "/show": show,
		"/login": func(_ http.ResponseWriter, r *http.Request, s *Session) {
			if err := errors.Join(s.Set("user", "ada"), s.Login(r.Context(), owner, 0)); err != nil {
				t.Error(err)
			}
		},
		"/others": func(_ http.ResponseWriter, r *http.Request, s *Session) {
			if n, err := gate.EndAll(r.Context(), owner, s.Token()); n != 1 || err != nil {
				t.Errorf("%d %v", n, err)
			}
		},
	})
	phone, laptop := newBrowser(t, server), newBrowser(t, server)
	phone.want("/count", "1")
	planted := phone.token()
	phone.want("/login", "")
	laptop.want("/login", "")
	if phone.token() == planted || phone.token() == laptop.token() {
		t.Error("the login gave no new token")
	}
	phone.want("/show", "user,visits")
	laptop.want("/show", "user")
	laptop.want("/others", "")
	phone.want("/show", "")
	laptop.want("/show", "user")
	if errs := f.all(); len(errs) != 0 {
		t.Error(errs)
	}
}
