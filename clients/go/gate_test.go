package sessiongate

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func TestEachCommandDoesWhatItSays(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := p.start(t, gate, Life{TTL: 90 * time.Second, MaxTTL: time.Hour,
			Payloads: map[string][]byte{"user": []byte("Ada"), "bytes": {0, 255, '\r', '\n'}}})

		if all, err := gate.PGetAll(ctx, token); err != nil || !reflect.DeepEqual(all,
			map[string][]byte{"user": []byte("Ada"), "bytes": {0, 255, '\r', '\n'}}) {
			t.Errorf("PGetAll: %q %v", all, err)
		}
		noError(t, gate.PMSet(ctx, token, map[string][]byte{"a": []byte("1"), "b": []byte("2")}))
		if some, err := gate.PMGet(ctx, token, "a", "none", "b"); err != nil ||
			!reflect.DeepEqual(some, [][]byte{[]byte("1"), nil, []byte("2")}) {
			t.Errorf("PMGet: %q %v", some, err)
		}
		for _, c := range []struct {
			name string
			cond Cond
			held bool
		}{{"a", NX, false}, {"new", XX, false}, {"new", NX, true}, {"new", XX, true}, {"a", Always, true}} {
			if held, err := gate.PSet(ctx, token, c.name, []byte("x"), c.cond); err != nil || held != c.held {
				t.Errorf("PSet %v: %v %v", c, held, err)
			}
		}
		if data, err := gate.PGet(ctx, token, "a"); err != nil || string(data) != "x" {
			t.Errorf("PGet: %q %v", data, err)
		}
		if data, err := gate.PPop(ctx, token, "b"); err != nil || string(data) != "2" {
			t.Errorf("PPop: %q %v", data, err)
		}
		_, err := gate.PPop(ctx, token, "b")
		wantError(t, "PPop again", err, ErrNoPayload)
		noError(t, gate.PDel(ctx, token, "a"))
		wantError(t, "PDel again", gate.PDel(ctx, token, "a"), ErrNoPayload)
		_, err = gate.PGet(ctx, token, "a")
		wantError(t, "PGet of none", err, ErrNoPayload)

		if ttl, err := gate.TTL(ctx, token); err != nil || ttl <= 80*time.Second || ttl > 90*time.Second {
			t.Errorf("TTL: %v %v", ttl, err)
		}
		info, err := gate.Info(ctx, token)
		if err != nil || time.Since(info.Created) > time.Minute || info.Idle != 90*time.Second ||
			info.TTL <= 80*time.Second || info.Payloads != 3 || info.Owner != "" ||
			time.Until(info.Deadline) < 59*time.Minute || info.Bytes != int64(len("userAdabytes....newx")) {
			t.Errorf("Info: %+v %v", info, err)
		}
		noError(t, gate.Expire(ctx, token, 200*time.Second))
		if left, err := gate.Touch(ctx, token, 0); err != nil || left <= 190*time.Second {
			t.Errorf("Touch: %v %v", left, err)
		}

		rotated, err := gate.Rotate(ctx, token, Rotation{Grace: 10 * time.Second})
		noError(t, err)
		if again, err := gate.Rotate(ctx, token, Rotation{Grace: 10 * time.Second}); err != nil || again != rotated {
			t.Errorf("Rotate in its grace: %v, the same: %v", err, again == rotated)
		}
		last, err := gate.Rotate(ctx, rotated, Rotation{TTL: 300 * time.Second, MaxTTL: 400 * time.Second})
		noError(t, err)
		_, err = gate.TTL(ctx, rotated)
		wantError(t, "a token rotated without a grace", err, ErrNoSession)
		if info, err := gate.Info(ctx, last); err != nil || info.Idle != 300*time.Second ||
			time.Until(info.Deadline) > 400*time.Second {
			t.Errorf("Info after Rotate: %+v %v", info, err)
		}

		noError(t, gate.End(ctx, last))
		wantError(t, "End again", gate.End(ctx, last), ErrNoSession)
		noError(t, gate.Adopt(ctx, last, Life{}))
		wantError(t, "Adopt again", gate.Adopt(ctx, last, Life{}), ErrBusyToken)
		if ttl, err := gate.TTL(ctx, last); err != nil || ttl <= DefaultTTL-time.Minute {
			t.Errorf("a life that is not given is not the Gate's: %v %v", ttl, err)
		}
		noError(t, gate.Expire(ctx, last, 0))
		_, err = gate.TTL(ctx, last)
		wantError(t, "after Expire 0", err, ErrNoSession)
	})
}

func TestPartsOfASecondCountAsAWholeOne(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, time.Second: 1, 1500 * time.Millisecond: 2, -1: -1, -1500 * time.Millisecond: -2,
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: %d instead of %d", d, got, want)
		}
	}
}

func TestNewTokensAreOfTheFormAsked(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for asked, want := range map[TokenFormat]TokenFormat{"": V2, V1: V1, V2: V2} {
			gate := p.gate(t, Options{TokenFormat: asked})
			if verified, ok := gate.Verify(p.start(t, gate, Life{})); !ok || verified.Format != want {
				t.Errorf("%q: %v", asked, verified)
			}
		}
	})
}

func TestBadArgumentsAreRefusedByTheServersSentence(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := p.start(t, gate, Life{})
		_, err := gate.Start(ctx, Life{TTL: -time.Second})
		wantError(t, "a negative TTL", err, ErrBadArgument)
		if err == nil || !strings.Contains(err.Error(), "<ttl>") {
			t.Errorf("the sentence does not name the argument: %v", err)
		}
		wantError(t, "a negative EXPIRE", gate.Expire(ctx, token, -1), ErrBadArgument)
		wantError(t, "PMSet of nothing", gate.PMSet(ctx, token, nil), ErrBadArgument)
		_, err = gate.PSet(ctx, token, "", []byte("x"), Always)
		wantError(t, "an empty name", err, ErrBadArgument)
		_, err = gate.PSet(ctx, token, "name", nil, Always)
		wantError(t, "empty data", err, ErrBadArgument)
		_, err = gate.Rotate(ctx, token, Rotation{Grace: time.Hour})
		wantError(t, "a grace of an hour", err, ErrBadArgument)
		wantError(t, "an empty token", gate.End(ctx, ""), ErrBadArgument)
	})
}

func TestAForeignKeyIsWrongType(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token, err := gate.Mint()
		noError(t, err)
		noError(t, p.client.Set(ctx, token, "x", time.Minute).Err())
		_, err = gate.PGet(ctx, token, "a")
		wantError(t, "PGet", err, ErrWrongType)
		wantError(t, "Adopt", gate.Adopt(ctx, token, Life{}), ErrWrongType)
	})
}

func TestForgedTokensReachNoServer(t *testing.T) {
	p := single(t)
	gate, other := p.gate(t, Options{}), p.gate(t, Options{})
	forged, err := other.Mint()
	noError(t, err)
	trips := p.trips(t, func() {
		for token, want := range map[string]error{forged: ErrBadSignature, "no token": ErrBadToken, "": ErrBadArgument} {
			_, err := gate.PGet(ctx, token, "a")
			wantError(t, "PGet", err, want)
			wantError(t, "End", gate.End(ctx, token), want)
			wantError(t, "Adopt", gate.Adopt(ctx, token, Life{}), want)
			_, err = gate.Rotate(ctx, token, Rotation{})
			wantError(t, "Rotate", err, want)
			if session, err := gate.Session(ctx, token); err != nil || !session.IsNew() {
				t.Errorf("Session: %v", err)
			}
		}
	})
	if trips != 0 {
		t.Errorf("%d round trips", trips)
	}
}

func TestTokensOfAnOlderKeyGoOnAndRotateToTheNewest(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		oldest, older, newest := randomKey(t), randomKey(t), randomKey(t)
		before := p.gate(t, Options{SignKeys: [][]byte{oldest}})
		token := p.start(t, before, Life{Payloads: map[string][]byte{"a": []byte("1")}})

		gate := p.gate(t, Options{SignKeys: [][]byte{newest, older, oldest}})
		if verified, ok := gate.Verify(token); !ok || verified.Position != 2 {
			t.Fatalf("the oldest key's token: %v %v", verified, ok)
		}
		if data, err := gate.PGet(ctx, token, "a"); err != nil || string(data) != "1" {
			t.Errorf("PGet: %q %v", data, err)
		}
		rotated, err := gate.Rotate(ctx, token, Rotation{})
		noError(t, err)
		if verified, _ := gate.Verify(rotated); verified.Position != 0 {
			t.Errorf("rotated to key %d", verified.Position)
		}
		if data, err := gate.PGet(ctx, rotated, "a"); err != nil || string(data) != "1" {
			t.Errorf("PGet after Rotate: %q %v", data, err)
		}
	})
}

func TestAServerWithoutTheModuleIsNotLoaded(t *testing.T) {
	s := lend.Own(t, "--no-module")
	p := place{"redis", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)})), false}
	key := randomKey(t)
	gate := p.gate(t, Options{SignKeys: [][]byte{key}})
	token, err := gate.Mint()
	noError(t, err)
	_, err = gate.Start(ctx, Life{})
	wantError(t, "Start", err, ErrNotLoaded)
	showsNothing(t, key, err)
	_, err = gate.PGet(ctx, token, "a")
	wantError(t, "PGet", err, ErrNotLoaded)
	showsNothing(t, key, err)
	_, err = gate.Session(ctx, token)
	wantError(t, "Session", err, ErrNotLoaded)
	showsNothing(t, key, err)
}

func TestErrorsOfTheDriverStayItsOwn(t *testing.T) {
	s := lend.Own(t)
	client := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)}))
	gate, err := New(client, Options{SignKeys: [][]byte{[]byte("k")}})
	noError(t, err)
	noError(t, client.ConfigSet(ctx, "maxmemory", "1").Err())
	token, err := gate.Mint()
	noError(t, err)
	err = gate.Adopt(ctx, token, Life{})
	var said redis.Error
	if !errors.As(err, &said) || !strings.HasPrefix(said.Error(), "OOM ") {
		t.Errorf("out of memory: %v", err)
	}
	s.Tell(t, "stop 0")
	err = gate.Adopt(ctx, token, Life{})
	if err == nil || errors.As(err, &said) || !strings.Contains(err.Error(), "connect") {
		t.Errorf("the server is gone: %v", err)
	}
}

func TestDataAreBytesWhateverTheyAre(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		gate := p.gate(t, Options{})
		token := p.start(t, gate, Life{})
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		large := bytes.Repeat(all, 8000)
		for _, name := range []string{"__proto__", string(all[:200]), "ключ"} {
			if _, err := gate.PSet(ctx, token, name, large, Always); err != nil {
				t.Fatal(err)
			}
			if data, err := gate.PGet(ctx, token, name); err != nil || !bytes.Equal(data, large) {
				t.Errorf("%q: %d bytes, %v", name, len(data), err)
			}
		}
		if payloads, err := gate.PGetAll(ctx, token); err != nil || len(payloads) != 3 {
			t.Errorf("PGetAll: %d %v", len(payloads), err)
		}
	})
}
