// Package scs is a store for github.com/alexedwards/scs/v2 that keeps sessions in SessionGate.
//
//	manager := scs.New()
//	loadAndSave := sessiongatescs.Use(manager, gate)
//	http.ListenAndServe(address, loadAndSave(handler)) // in place of manager.LoadAndSave
//
// Each value of a session is a payload of its own, and only what was changed is sent: two requests that
// change different values both win. A session that was ended while a request ran stays ended, and the
// cookie is left alone: it may be a newer session's by now.
//
// The token in the cookie is scs' own; the session's is derived from it by the sign key. Lifetime and
// IdleTimeout are the manager's. SetDeadline can bring a deadline nearer, not put it off. Sessions
// cannot be listed, so Iterate is not possible.
package scs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/values"
)

// Use makes a manager keep its sessions in SessionGate: it sets Store and Codec, and returns what is
// to be used in place of manager.LoadAndSave. Values of types of your own have to be registered by
// gob.Register, as for scs.
//
// A manager whose Load and Commit are called otherwise cannot know what was loaded: there Commit
// overwrites, and makes a session that is not there, as every store of scs does.
func Use(manager *scs.SessionManager, gate *sessiongate.Gate) func(http.Handler) http.Handler {
	manager.Store = &store{gate, manager}
	manager.Codec = codec{}
	return func(next http.Handler) http.Handler {
		inside := manager.LoadAndSave(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v := &visit{}
			cw := &cookieWriter{w, v, manager.Cookie.Name}
			inside.ServeHTTP(cw, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
			cw.check()
		})
	}
}

// cookieWriter leaves out the cookie of a session that was lost. scs sets it whatever became of the
// session, over that of another one which a login may have set meanwhile.
type cookieWriter struct {
	http.ResponseWriter
	visit *visit
	name  string
}

// check comes before the header goes out, and after scs has set the cookie.
func (w *cookieWriter) check() {
	if _, lost := w.visit.fate(); !lost {
		return
	}
	header := w.Header()
	cookies := header["Set-Cookie"]
	header.Del("Set-Cookie")
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie, w.name+"=") {
			header.Add("Set-Cookie", cookie)
		}
	}
}

func (w *cookieWriter) WriteHeader(status int) {
	w.check()
	w.ResponseWriter.WriteHeader(status)
}

func (w *cookieWriter) Write(data []byte) (int, error) {
	w.check()
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (w *cookieWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type visitKey struct{}

// visit carries from Find to Commit what a request has loaded. Its methods take a nil one: there Use's
// middleware is missing.
type visit struct {
	mu      sync.Mutex
	token   string               // scs' own; "": none yet
	session *sessiongate.Session // nil: made by this request, and not loaded
	gone    bool                 // it was to be deleted, and was not there any more
	lost    bool                 // nothing was stored, and the cookie is left alone
}

// keep remembers the session that the request began with; what MergeSession finds later is another.
func (v *visit) keep(token string, session *sessiongate.Session) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.token == "" || session == nil {
		v.token, v.session = token, session
	}
}

// kept tells whether token is the one remembered.
func (v *visit) kept(token string) (session *sessiongate.Session, ok bool) {
	if v == nil {
		return nil, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.token != token {
		return nil, false
	}
	return v.session, true
}

// note calls call with the visit, locked; not where there is none.
func (v *visit) note(call func(v *visit)) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	call(v)
}

func (v *visit) fate() (gone, lost bool) {
	v.note(func(v *visit) { gone, lost = v.gone, v.lost })
	return gone, lost
}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// deadlineName is the payload that holds when the session ends, as scs counts it: unix nanoseconds.
const deadlineName = "\x00deadline"

// lockPrefix begins the names of the payloads that are locks, which a Session does not show.
const lockPrefix = "\x00lock:"

// store implements scs.CtxStore.
type store struct {
	gate    *sessiongate.Gate
	manager *scs.SessionManager
}

var _ scs.CtxStore = (*store)(nil)

// load looks for the session by each sign key, the newest first; a new session: there is none.
func (s *store) load(ctx context.Context, token string) (session *sessiongate.Session, err error) {
	gate := s.gate
	if idle := s.manager.IdleTimeout; idle > 0 {
		gate = gate.WithTTL(idle)
	}
	for _, derived := range gate.Derive(token) {
		if session, err = gate.Session(ctx, derived); err != nil || !session.IsNew() {
			break
		}
	}
	return session, err
}

func (s *store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	session, err := s.load(ctx, token)
	if err != nil || session.IsNew() {
		return nil, false, err
	}
	if data, _ := session.Bytes(deadlineName); !readDeadline(data).After(time.Now()) {
		return nil, false, session.End(ctx)
	}
	visitOf(ctx).keep(token, session)
	document := document{}
	for _, name := range session.Names() {
		document[name], _ = session.Bytes(name)
	}
	return document.bytes(), true, nil
}

func (s *store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	ctx = context.WithoutCancel(ctx) // a visitor who goes away has changed his session all the same
	if !expiry.After(time.Now()) {
		return s.DeleteCtx(ctx, token)
	}
	document, err := readDocument(data)
	if err != nil {
		return err
	}
	visit := visitOf(ctx)
	if gone, _ := visit.fate(); gone { // renewed after a logout elsewhere, it would be back
		return lose(ctx)
	}
	session, kept := visit.kept(token)
	if session == nil && (kept || visit == nil) {
		if session, err = s.load(ctx, token); err != nil {
			return err
		}
	}
	if session != nil && session.Token() != "" {
		return s.update(ctx, session, document, expiry)
	}
	deadline := time.Until(readDeadline(document[deadlineName]))
	life := sessiongate.Life{TTL: time.Until(expiry), MaxTTL: deadline, Payloads: document}
	err = s.gate.Adopt(ctx, s.gate.Derive(token)[0], life)
	if err != nil && !errors.Is(err, sessiongate.ErrBusyToken) {
		return err
	}
	// Busy: scs drew the token just now, a reply was lost, and the driver sent it again.
	visit.keep(token, nil)
	return nil
}

func (s *store) update(ctx context.Context, session *sessiongate.Session, document document, expiry time.Time) error {
	deadline, _ := session.Bytes(deadlineName)
	for name, data := range document {
		before, ok := session.Bytes(name)
		if value, err := values.Decode(data); ok && err == nil && values.Same(before, data, value) {
			continue
		}
		if err := session.SetBytes(name, data); err != nil {
			return err
		}
	}
	for _, name := range session.Names() {
		if _, ok := document[name]; !ok {
			data, _ := session.Bytes(name)
			if _, err := values.Decode(data); err == nil { // what could not be seen was not deleted
				session.Delete(name)
			}
		}
	}
	sent, err := session.SaveOrEnd(ctx)
	switch {
	case err != nil:
	case string(deadline) != string(document[deadlineName]):
		err = s.gate.Expire(ctx, session.Token(), max(0, time.Until(expiry)))
	case !sent: // scs sets the cookie again
		_, err = s.gate.TTL(ctx, session.Token())
		if errors.Is(err, sessiongate.ErrNoSession) {
			visitOf(ctx).note(func(v *visit) { v.lost = true })
			return nil // nothing was to be stored
		}
	}
	if errors.Is(err, sessiongate.ErrNoSession) {
		return lose(ctx)
	}
	return err
}

// lose says that a session was not stored, since it was ended meanwhile: the response goes out, and
// nothing is made anew.
func lose(ctx context.Context) error {
	slog.WarnContext(ctx, "the session was not saved", "error", sessiongate.ErrNoSession)
	visitOf(ctx).note(func(v *visit) { v.lost = true })
	return nil
}

func (s *store) DeleteCtx(ctx context.Context, token string) error {
	if session, _ := visitOf(ctx).kept(token); session != nil {
		err := s.gate.End(ctx, session.Token())
		if err != nil && !errors.Is(err, sessiongate.ErrNoSession) {
			return err
		}
		visitOf(ctx).note(func(v *visit) { v.session, v.gone = nil, err != nil })
		return nil
	}
	for _, derived := range s.gate.Derive(token) {
		if err := s.gate.End(ctx, derived); err == nil || !errors.Is(err, sessiongate.ErrNoSession) {
			return err
		}
	}
	return nil
}

func (s *store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *store) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

func (s *store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// document is what goes between codec and store: payloads by name.
//
//	for each payload  length of its name, name, length of its data, data; lengths as uvarint
type document map[string][]byte

func (d document) bytes() []byte {
	var data []byte
	for name, payload := range d {
		data = append(binary.AppendUvarint(data, uint64(len(name))), name...)
		data = append(binary.AppendUvarint(data, uint64(len(payload))), payload...)
	}
	return data
}

func readDocument(data []byte) (document, error) {
	d := document{}
	part := func() (part []byte, ok bool) {
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return nil, false
		}
		part, data = data[n:n+int(length)], data[n+int(length):]
		return part, true
	}
	for len(data) > 0 {
		name, ok1 := part()
		payload, ok2 := part()
		if !ok1 || !ok2 {
			return nil, errors.New("scs: not a document of this package's codec: was Codec replaced after Use?")
		}
		d[string(name)] = payload
	}
	if _, ok := d[deadlineName]; !ok {
		return nil, errors.New("scs: a document without a deadline: was Codec replaced after Use?")
	}
	return d, nil
}

func readDeadline(data []byte) time.Time {
	nanoseconds, _ := strconv.ParseInt(string(data), 10, 64)
	return time.Unix(0, nanoseconds).UTC()
}

// codec implements scs.Codec.
type codec struct{}

func (codec) Encode(deadline time.Time, all map[string]interface{}) ([]byte, error) {
	d := document{deadlineName: strconv.AppendInt(nil, deadline.UnixNano(), 10)}
	for name, value := range all {
		if strings.HasPrefix(name, lockPrefix) {
			return nil, errors.New("scs: the name of a value is a lock's")
		}
		data, err := values.Encode(value)
		if err != nil {
			return nil, fmt.Errorf("scs: %w", err)
		}
		d[name] = data
	}
	return d.bytes(), nil
}

func (codec) Decode(data []byte) (time.Time, map[string]interface{}, error) {
	d, err := readDocument(data)
	if err != nil {
		return time.Time{}, nil, err
	}
	all := make(map[string]interface{}, len(d))
	for name, data := range d {
		if name == deadlineName {
			continue
		}
		if value, err := values.Decode(data); err == nil { // a broken one hides no other
			all[name] = value
		}
	}
	return readDeadline(d[deadlineName]), all, nil
}
