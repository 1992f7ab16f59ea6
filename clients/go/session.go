package sessiongate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

const largestName = 200 // bytes of a payload's name

// Session is one visitor's session: named JSON values, each a payload of its own, as they were when
// it was loaded, and what was changed since. Save sends the changes alone, so that two requests which
// change different values both win. It is safe for use by many goroutines.
//
// A new session is stored by the first Save that has something to store. One that was loaded is only
// ever updated: ended meanwhile, it stays ended, and Save answers ErrNoSession.
type Session struct {
	mu      sync.Mutex // held during a call of the server too: calls of one Session follow each other
	gate    *Gate
	key     *signKey // of token
	token   string   // "": new
	stored  map[string]string
	changes map[string]change
}

// change is what a payload is to be.
type change struct {
	data    string
	deleted bool
	exact   bool // counts as changed wherever a byte differs, not as JSON
}

// Session loads the session of that token, and restores its life where it is due, in one round trip.
// A token that is empty, forged, or of a session that is over gives a new session. Where the server
// refuses the refresh alone, as a replica does, the session is loaded all the same.
func (g *Gate) Session(ctx context.Context, token string) (*Session, error) {
	s := &Session{gate: g}
	key, _, err := g.keyOf("Session", token)
	if err != nil {
		return s, nil
	}
	payloads := pgetall(ctx, key, token)
	touch := newCommand("TOUCH", redis.NewIntCmd(ctx, args("TOUCH", key, token, "MINAGE", seconds(g.minAge))...))
	_ = g.sendAll(ctx, payloads, touch) // each is looked at by itself
	switch err := firstError([]sendable{payloads}); {
	case err == nil:
		s.key, s.token, s.stored = key, token, visible(payloads.reply.Val())
	case errors.Is(err, ErrNoSession), errors.Is(err, ErrBadSignature), errors.Is(err, ErrBadToken):
	default:
		return nil, err
	}
	return s, nil
}

// Format shows nothing of a Session, whatever the verb.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessiongate.Session") }

// Token is the session's token, or "" while it is not stored.
func (s *Session) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// IsNew tells whether the session is not stored yet.
func (s *Session) IsNew() bool { return s.Token() == "" }

// data is a payload as the session has it now.
func (s *Session) data(name string) (string, bool) {
	if c, ok := s.changes[name]; ok {
		return c.data, !c.deleted
	}
	data, ok := s.stored[name]
	return data, ok
}

// Names returns the names of all values, sorted.
func (s *Session) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names()
}

func (s *Session) names() []string {
	names := make([]string, 0, len(s.stored)+len(s.changes))
	for name := range s.stored {
		if !s.changes[name].deleted {
			names = append(names, name)
		}
	}
	for name, c := range s.changes {
		if _, ok := s.stored[name]; !ok && !c.deleted {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Get reads a value into the variable that v points to, as json.Unmarshal does, and tells whether
// there is one. ErrBadPayload: there is, and it does not fit.
func (s *Session) Get(name string, v any) (bool, error) {
	data, ok := s.current(name)
	if !ok {
		return false, nil
	}
	return true, decode("Get", name, data, v)
}

// current is data, and leaves mu open: what reads the value may ask the session in turn.
func (s *Session) current(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data(name)
}

func decode(method, name, data string, v any) error {
	if json.Unmarshal([]byte(data), v) != nil { // its error would show data
		return &Error{method, ErrBadPayload, fmt.Sprintf("%q does not fit %T", name, v)}
	}
	return nil
}

// Set gives a value, as json.Marshal does. The name has 1 to 200 bytes of UTF-8.
func (s *Session) Set(name string, v any) error {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return &Error{"Set", ErrBadArgument, fmt.Sprintf("%q: %T cannot be written as JSON", name, v)}
	}
	return s.change(name, change{data: string(data.Bytes()[:data.Len()-1])}) // without the line end
}

// Bytes returns a payload as it is stored, for another serializer than JSON, and whether there is one.
func (s *Session) Bytes(name string) ([]byte, bool) {
	data, ok := s.current(name)
	return []byte(data), ok
}

// SetBytes gives a payload as it is to be stored, at least one byte.
func (s *Session) SetBytes(name string, data []byte) error {
	if len(data) == 0 {
		return &Error{"SetBytes", ErrBadArgument, "data is empty"}
	}
	return s.change(name, change{data: string(data), exact: true})
}

func (s *Session) change(name string, c change) error {
	if len(name) == 0 || len(name) > largestName || !utf8.ValidString(name) {
		return &Error{"Set", ErrBadArgument, "the name is not 1 to 200 bytes of UTF-8"}
	}
	if isLock(name) {
		return &Error{"Set", ErrBadArgument, "the name is a lock's"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == nil {
		s.changes = map[string]change{}
	}
	s.changes[name] = c
	return nil
}

// Delete takes a value away.
func (s *Session) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.stored[name]; !ok {
		delete(s.changes, name)
		return
	}
	if s.changes == nil {
		s.changes = map[string]change{}
	}
	s.changes[name] = change{deleted: true}
}

// Take reads a value as Get does and deletes it at once, on the server too: of many requests one gets
// it. For flash messages and one-time codes. A value that does not fit is gone all the same.
func (s *Session) Take(ctx context.Context, name string, v any) (bool, error) {
	if isLock(name) {
		return false, &Error{"Take", ErrBadArgument, "the name is a lock's"}
	}
	data, ok, err := s.take(ctx, name)
	if !ok || err != nil {
		return false, err
	}
	return true, decode("Take", name, data, v)
}

func (s *Session) take(ctx context.Context, name string) (data string, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unsaved, isUnsaved := s.changes[name]
	data, ok = unsaved.data, isUnsaved && !unsaved.deleted
	if s.token != "" {
		c := newCommand("PPOP", redis.NewStringCmd(ctx, args("PPOP", s.key, s.token, name)...)).once()
		err := s.gate.send(ctx, c)
		switch {
		case err == nil && !isUnsaved:
			data, ok = c.reply.Val(), true
		case err != nil && !errors.Is(err, ErrNoPayload):
			return "", false, err
		}
	}
	delete(s.changes, name)
	delete(s.stored, name)
	return data, ok, nil
}

// Save sends what was changed, in one round trip; nothing where nothing was. Values and deletions
// arrive together, but not as one transaction.
//
// ErrNoSession: the session is over, and nothing was stored.
func (s *Session) Save(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.save(ctx)
	return err
}

// save tells whether there was something to send.
func (s *Session) save(ctx context.Context) (sent bool, err error) {
	if s.token == "" {
		return s.saveNew(ctx)
	}
	sets := args("PMSET", s.key, s.token)
	none := len(sets)
	var commands []sendable
	for name, c := range s.changes {
		stored, isStored := s.stored[name]
		switch {
		case c.deleted:
			commands = append(commands, pdel(ctx, s.key, s.token, name))
		case !isStored || !same(stored, c):
			sets = append(sets, name, c.data)
		}
	}
	if len(sets) > none {
		commands = append(commands, newCommand("PMSET", redis.NewStatusCmd(ctx, sets...)))
	}
	if len(commands) > 0 {
		_ = s.gate.sendAll(ctx, commands...) // each is looked at below
	}
	for _, c := range commands {
		if err := refusal(c.commandName(), c.Err()); err != nil && !errors.Is(err, ErrNoPayload) {
			return true, err
		}
	}
	s.saved()
	return len(commands) > 0, nil
}

// same tells whether a payload that is stored is what it is changed to, for JSON in whatever
// spelling: that of another language counts as the same.
func same(stored string, c change) bool {
	if stored == c.data || c.exact {
		return stored == c.data
	}
	a, err := document(stored)
	if err != nil {
		return false
	}
	b, err := document(c.data)
	return err == nil && reflect.DeepEqual(a, b)
}

func document(data string) (v any, err error) {
	if !json.Valid([]byte(data)) { // the decoder would stop behind a first document
		return nil, ErrBadPayload
	}
	decoder := json.NewDecoder(strings.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&v)
	return v, err
}

// saveNew stores a session under a token made here, so that no cluster is without a node for it.
func (s *Session) saveNew(ctx context.Context) (sent bool, err error) {
	payloads := s.unsaved(nil)
	if len(payloads) == 0 {
		return false, nil
	}
	token, err := s.gate.adoptNew(ctx, Life{Payloads: payloads})
	if err != nil {
		return true, err
	}
	s.key, s.token = s.gate.newest(), token
	s.saved()
	return true, nil
}

// unsaved are these payloads with the changes made to them.
func (s *Session) unsaved(payloads map[string][]byte) map[string][]byte {
	if payloads == nil {
		payloads = make(map[string][]byte, len(s.changes))
	}
	for name, c := range s.changes {
		if c.deleted {
			delete(payloads, name)
		} else {
			payloads[name] = []byte(c.data)
		}
	}
	return payloads
}

// saved counts the changes as stored.
func (s *Session) saved() {
	if s.stored == nil {
		s.stored = make(map[string]string, len(s.changes))
	}
	for name, c := range s.changes {
		if c.deleted {
			delete(s.stored, name)
		} else {
			s.stored[name] = c.data
		}
	}
	s.changes = nil
}

// Rotate gives the session a new token: the old one is dead at once. Call it where a visitor logs in
// without Login, so that a token which somebody planted in the browser opens nothing. A session that
// is not stored has no token yet that could have been planted.
func (s *Session) Rotate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rotate(ctx)
}

func (s *Session) rotate(ctx context.Context) error {
	if s.token == "" {
		return nil
	}
	token, err := s.gate.Rotate(ctx, s.token, Rotation{})
	if err != nil {
		return err
	}
	s.key, s.token = s.gate.newest(), token
	return nil
}

// Login makes it the session of an owner, such as "user:42": a new one, with a new token and life,
// that has the payloads of this one and what was changed; this one ends. With a limit the owner's
// oldest sessions end where there are more; 0: any number. Of the same owner as before it is Rotate.
//
// ErrNoSession: the session was ended meanwhile, and nobody is logged in.
func (s *Session) Login(ctx context.Context, owner string, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var payloads map[string][]byte
	if s.token != "" {
		all, about := pgetall(ctx, s.key, s.token), info(ctx, s.key, s.token)
		if err := s.gate.sendAll(ctx, all, about); err != nil {
			return err
		}
		if readInfo(about.reply.Val()).Owner == owner {
			return s.rotate(ctx)
		}
		payloads = bytesOf(visible(all.reply.Val()))
	}
	payloads = s.unsaved(payloads)
	lives, err := s.lives(ctx, payloads)
	if err != nil {
		return err
	}
	lasting := make(map[string][]byte, len(payloads))
	for name, data := range payloads {
		if lives[name] == 0 {
			lasting[name] = data
		}
	}
	token, err := s.gate.OStart(ctx, owner, Life{Limit: limit, Payloads: lasting})
	if err != nil {
		return err
	}
	err = s.gate.setLives(ctx, token, payloads, lives)
	if err == nil && s.token != "" {
		err = s.gate.End(ctx, s.token)
	}
	if err != nil {
		_ = s.gate.End(context.WithoutCancel(ctx), token) // which nobody is told of
		return err
	}
	s.key, s.token, s.changes = s.gate.newest(), token, nil
	s.stored = make(map[string]string, len(payloads))
	for name, data := range payloads {
		s.stored[name] = string(data)
	}
	return nil
}

// lives are the lives that some of the payloads have of their own, in milliseconds: a code that is good
// for five minutes is to be so in another session too. What is over by now is taken from payloads.
func (s *Session) lives(ctx context.Context, payloads map[string][]byte) (map[string]int64, error) {
	lives := map[string]int64{}
	asked := map[string]*redis.IntCmd{}
	var commands []sendable
	for name := range payloads {
		if _, changed := s.changes[name]; s.token != "" && !changed {
			asked[name] = redis.NewIntCmd(ctx, args("PTTL", s.key, s.token, name)...)
			commands = append(commands, newCommand("PTTL", asked[name]))
		}
	}
	if len(commands) > 0 {
		_ = s.gate.sendAll(ctx, commands...) // each is looked at below
	}
	for name, c := range asked {
		switch err := refusal("PTTL", c.Err()); {
		case errors.Is(err, ErrNoPayload):
			delete(payloads, name)
		case errors.Is(err, ErrNotLoaded): // the module has no such lives
		case err != nil:
			return nil, err
		case c.Val() >= 0:
			lives[name] = max(1, c.Val())
		}
	}
	return lives, nil
}

// setLives sets those of the payloads that have a life of their own.
func (g *Gate) setLives(ctx context.Context, token string, payloads map[string][]byte, lives map[string]int64) error {
	var commands []sendable
	for name, life := range lives {
		c := redis.NewStatusCmd(ctx, args("PSET", g.newest(), token, name, payloads[name], "PX", life)...)
		commands = append(commands, newCommand("PSET", c))
	}
	if len(commands) == 0 {
		return nil
	}
	return g.sendAll(ctx, commands...)
}

// End ends the session, and forgets its values; what is set afterwards begins a new one.
func (s *Session) End(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" {
		if err := s.gate.End(ctx, s.token); err != nil && !errors.Is(err, ErrNoSession) {
			return err
		}
	}
	s.ended()
	return nil
}

func (s *Session) ended() { s.key, s.token, s.stored, s.changes = nil, "", nil, nil }

// SaveOrEnd is Save for adapters: a session whose last value was deleted is ended. It tells whether
// there was something to send. Where not, the session may be over, its visitor may have the cookie of
// another one by now, and the adapter must not set that of this one again unasked.
func (s *Session) SaveOrEnd(ctx context.Context) (sent bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" || len(s.changes) == 0 || len(s.names()) > 0 {
		return s.save(ctx)
	}
	if err := s.gate.End(ctx, s.token); err != nil {
		return true, err
	}
	s.ended()
	return true, nil
}
