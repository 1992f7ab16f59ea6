package sessiongate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// showsNothing looks for the sign key in everything that can be printed of v.
func showsNothing(t *testing.T, key []byte, v any) {
	t.Helper()
	texts := []string{fmt.Sprintf("%v %+v %#v %s %q %d %x", v, v, v, v, v, v, v)}
	if err, ok := v.(error); ok && err != nil {
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		hides(t, key, text)
	}
}

// hides looks for the sign key in a text, in each way in which %v and its like write bytes.
func hides(t *testing.T, key []byte, text string) {
	t.Helper()
	numbers := strings.Trim(fmt.Sprint(key), "[]")
	for _, form := range []string{string(key), hex.EncodeToString(key), numbers, strings.ReplaceAll(numbers, " ", ", "),
		base64.StdEncoding.EncodeToString(key), fmt.Sprintf("%#v", key)[len("[]byte{"):][:20]} {
		if strings.Contains(text, form) {
			t.Errorf("the sign key shows: %s", text)
		}
	}
}

// spy is a hook that prints commands as tracing and logging hooks do.
type spy struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *spy) print(cmd redis.Cmder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(&s.seen, "%v %+v %#v %s %v %+v %#v %v\n", cmd, cmd, cmd, cmd, cmd.Args(), cmd.Args(), cmd.Args(), cmd.Err())
}

func (s *spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		s.print(cmd)
		return err
	}
}

func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			s.print(cmd)
		}
		return err
	}
}

func TestNoTextShowsASignKey(t *testing.T) {
	key, older := randomKey(t), randomKey(t)
	p := single(t)
	s := &spy{}
	p.client.AddHook(s)
	gate := p.gate(t, Options{SignKeys: [][]byte{key, older}})
	olderGate := p.gate(t, Options{SignKeys: [][]byte{older}})
	token := p.start(t, olderGate, Life{})

	session, err := gate.Session(ctx, token)
	noError(t, err)
	noError(t, session.Set("a", 1))
	noError(t, session.Save(ctx))
	noError(t, session.Rotate(ctx))
	errs := []error{}
	keep := func(err error) { errs = append(errs, err) }
	_, err = gate.PGet(ctx, token, "a")
	keep(err)
	_, err = gate.Start(ctx, Life{TTL: -1})
	keep(err)
	_, err = gate.OStart(ctx, "", Life{})
	keep(err)
	keep(gate.Adopt(ctx, session.Token(), Life{}))
	keep(gate.PMSet(ctx, session.Token(), map[string][]byte{"": nil}))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	keep(gate.End(canceled, session.Token()))
	late, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	keep(gate.End(late, session.Token()))

	holder := struct {
		gate    *Gate
		value   Gate
		session *Session
	}{gate, *gate, session}
	encoded, err := json.Marshal([]any{gate, holder})
	noError(t, err)
	for _, k := range [][]byte{key, older} {
		for _, err := range errs {
			if err == nil {
				t.Error("a call that should have failed did not")
			}
			showsNothing(t, k, err)
		}
		options, config := Options{SignKeys: [][]byte{k}}, Config{SignKey: k}
		for _, v := range []any{gate, *gate, holder, &holder, session, (*gate.keys)[0], gate.keys, options, &options,
			config, &config, struct{ Options Options }{options}, []Config{config}} {
			showsNothing(t, k, v)
		}
		hides(t, k, string(encoded))
		hides(t, k, s.seen.String())
	}
	if !strings.Contains(s.seen.String(), "SESSIONGATE.PGETALL") {
		t.Error("the hook saw nothing")
	}
	if strings.Contains(fmt.Sprint(errs), token) || strings.Contains(fmt.Sprint(errs), session.Token()) {
		t.Errorf("a token shows: %v", errs)
	}
}

func TestTheDriversLogShowsNoSignKey(t *testing.T) {
	var logged bytes.Buffer
	redis.SetLogger(logger{log.New(&logged, "", 0)})
	defer redis.SetLogger(logger{log.New(os.Stderr, "redis: ", log.LstdFlags)})
	key := randomKey(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, MaxRedirects: 1})
	gate, err := New(client, Options{SignKeys: [][]byte{key}})
	noError(t, err)
	_, err = gate.Start(ctx, Life{})
	if err == nil {
		t.Error("there is a server on port 1")
	}
	showsNothing(t, key, err)
	noError(t, client.Close())
	hides(t, key, logged.String())
}

type logger struct{ *log.Logger }

func (l logger) Printf(_ context.Context, format string, v ...any) { l.Logger.Printf(format, v...) }
