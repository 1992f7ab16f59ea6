package sessiongate

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func TestEachCommandGoesToTheNodeOfItsToken(t *testing.T) {
	p := cluster(t)
	gate := p.gate(t, Options{})
	noError(t, p.client.Ping(ctx).Err())
	token := p.start(t, gate, Life{}) // the client has the map of the cluster now
	_, err := gate.TTL(ctx, token)
	noError(t, err)
	before := p.stat(t, "errorstats", "errorstat_MOVED")
	for i := 0; i < 60; i++ {
		token := p.start(t, gate, Life{Payloads: map[string][]byte{"a": []byte("1")}})
		noError(t, gate.PMSet(ctx, token, map[string][]byte{"b": []byte("2")}))
		s := load(t, gate, token)
		set(t, s, "c", 1)
		s.Delete("a")
		noError(t, s.Save(ctx))
		noError(t, s.Rotate(ctx))
		noError(t, s.End(ctx))
	}
	for i := 0; i < 10; i++ { // by a client that has asked nothing yet, what the commands' keys are
		token := p.start(t, gate, Life{})
		cold := cluster(t)
		load(t, cold.gate(t, Options{SignKeys: [][]byte{(*gate.keys)[0].bytes}}), token)
		noError(t, gate.End(ctx, token))
	}
	if moved := p.stat(t, "errorstats", "errorstat_MOVED") - before; moved != 0 {
		t.Errorf("%d commands went to a wrong node", moved)
	}
}

func TestSessionsAreSpreadOverACluster(t *testing.T) {
	p := cluster(t)
	gate := p.gate(t, Options{})
	nodes := map[any]int{}
	for i := 0; i < 60; i++ {
		nodes[p.servers.Tell(t, "slot %s", p.start(t, gate, Life{}))["node"]]++
	}
	if len(nodes) != 3 {
		t.Errorf("sessions on these nodes: %v", nodes)
	}
}

func TestARingFindsItsSessions(t *testing.T) {
	one, two := lend.Shared(t), lend.Shared(t, "--server", "valkey-sid")
	ring := closed(t, redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": one.Addr(0), "two": two.Addr(0)}}))
	gate, err := New(ring, Options{SignKeys: [][]byte{randomKey(t)}})
	noError(t, err)
	for i := 0; i < 20; i++ {
		token, err := gate.Start(ctx, Life{})
		noError(t, err)
		s := load(t, gate, token)
		set(t, s, "a", 1)
		noError(t, s.Save(ctx))
		if value(t, gate, token, "a") != "1" {
			t.Error("not found again")
		}
	}
}

func TestASessionIsFoundWhereItsSlotWent(t *testing.T) {
	p := cluster(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	s := load(t, gate, token)
	at := p.servers.Tell(t, "slot %s", token)
	from := int(at["node"].(float64))
	p.servers.Tell(t, "migrate %v %d %d", at["slot"], from, (from+1)%3)
	set(t, s, "a", 2)
	s.Delete("none")
	set(t, s, "b", 2)
	noError(t, s.Save(ctx))
	if names := load(t, gate, token).Names(); len(names) != 2 {
		t.Errorf("%q", names)
	}
	noError(t, gate.End(ctx, token))
}

// split moves a slot by hand: a rotated token has gone to the other node, its session has not.
type split struct {
	p              place
	slot           any
	from, to       int
	alias, session string
}

func newSplit(t *testing.T, gate *Gate, p place) split {
	t.Helper()
	s := split{p: p, alias: stored(t, gate, map[string]any{"a": 1})}
	var err error
	s.session, err = gate.Rotate(ctx, s.alias, Rotation{Grace: time.Minute})
	noError(t, err)
	at := p.servers.Tell(t, "slot %s", s.alias)
	s.slot, s.from = at["slot"], int(at["node"].(float64))
	s.to = (s.from + 1) % 3
	p.servers.Tell(t, "importing %v %d %d", s.slot, s.from, s.to)
	p.servers.Tell(t, "movekey %s %d %d", s.alias, s.from, s.to)
	return s
}

func (s split) settle(t *testing.T) {
	t.Helper()
	s.p.servers.Tell(t, "movekey %s %d %d", s.session, s.from, s.to)
	s.p.servers.Tell(t, "settle %v %d", s.slot, s.to)
}

func TestTryAgainIsWaitedOut(t *testing.T) {
	p := cluster(t)
	for what, call := range map[string]func(gate *Gate, token string) error{
		"PGet": func(gate *Gate, token string) error {
			data, err := gate.PGet(ctx, token, "a")
			if err == nil && string(data) != "1" {
				err = fmt.Errorf("%q", data)
			}
			return err
		},
		"Session": func(gate *Gate, token string) error {
			s, err := gate.Session(ctx, token)
			if err == nil && s.IsNew() {
				err = errors.New("not found")
			}
			return err
		},
		"End, which the driver does not repeat": func(gate *Gate, token string) error { return gate.End(ctx, token) },
		"Save": func(gate *Gate, token string) error {
			key, _, err := gate.keyOf("", token)
			s := &Session{gate: gate, key: key, token: token, stored: map[string]string{"a": "1"}}
			return errors.Join(err, s.Set("b", 1), s.Save(ctx))
		},
	} {
		t.Run(what, func(t *testing.T) {
			gate := p.gate(t, Options{})
			s := newSplit(t, gate, p)
			met := func() int64 { return p.stat(t, "errorstats", "errorstat_TRYAGAIN") }
			before, done := met(), make(chan error, 1)
			go func() { done <- call(gate, s.alias) }()
			// More often than any driver repeats it by itself.
			err := lend.Wait(func() bool { return met() >= before+8 })
			s.settle(t)
			noError(t, errors.Join(err, <-done))
		})
	}
}

func TestARotationIntoASlotThatMovesIsWaitedOut(t *testing.T) {
	p := cluster(t)
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	at := p.servers.Tell(t, "slot %s", token)
	from := int(at["node"].(float64))
	to := (from + 1) % 3
	p.servers.Tell(t, "importing %v %d %d", at["slot"], from, to)
	met := func() int64 { return p.stat(t, "errorstats", "errorstat_TRYAGAIN") }
	before := met()
	type answer struct {
		token string
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		token, err := gate.Rotate(ctx, token, Rotation{})
		done <- answer{token, err}
	}()
	err := lend.Wait(func() bool { return met() > before })
	p.servers.Tell(t, "movekey %s %d %d", token, from, to)
	p.servers.Tell(t, "settle %v %d", at["slot"], to)
	a := <-done
	noError(t, errors.Join(err, a.err))
	if value(t, gate, a.token, "a") != "1" || !load(t, gate, token).IsNew() {
		t.Error("the session has not its new token")
	}
}

func TestTryAgainIsNotWaitedOutForever(t *testing.T) {
	p := cluster(t)
	gate := p.gate(t, Options{})
	s := newSplit(t, gate, p)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := gate.PGet(short, s.alias, "a")
	if !errors.Is(err, ErrTryAgain) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	s.settle(t)
	if value(t, gate, s.alias, "a") != "1" {
		t.Error("after it settled: not found")
	}
}
