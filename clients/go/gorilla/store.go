// Package gorilla is a store for github.com/gorilla/sessions that keeps sessions in SessionGate.
//
// Each entry of a session's Values is a payload of its own, and Save sends those alone that were
// changed: two requests that change different entries both win. A session that was ended while a
// request ran stays ended; Save answers sessiongate.ErrNoSession and leaves the cookie alone.
//
// Values of types of your own have to be registered by gob.Register, as for gorilla's own stores.
// Strings and bools are stored so that clients of other languages can read them, and
// their JSON is read.
//
// The life of a session is the Gate's. Options.MaxAge is the cookie's alone; where it is negative,
// Save ends the session.
package gorilla

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/internal/values"
	"github.com/gorilla/sessions"
)

// Store implements sessions.Store.
type Store struct {
	Options *sessions.Options // what new sessions have; to be changed before the first request

	// Legacy is the store that the application had before, or nil. Sessions that it knows stay there,
	// until they end; Of answers nil for them.
	Legacy sessions.Store

	gate *sessiongate.Gate
}

// NewStore makes a store whose cookies are Secure, HttpOnly, SameSite=Lax, of Path=/, and end with the
// browser.
func NewStore(gate *sessiongate.Gate) *Store {
	return &Store{
		Options: &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode},
		gate:    gate,
	}
}

// loadedKey is the key in Values of what was loaded: a *loaded, the error why it was not, or legacy.
// Values are the one place that goes wherever the session goes.
type loadedKey struct{}

// loaded is a session of SessionGate.
type loaded struct {
	session *sessiongate.Session
	seen    map[string][]byte // what the application was given in Values, or has saved of them
}

// legacy marks a session of the store Legacy.
type legacy struct{}

// Of returns the session below a session of this store: for Rotate, Login and End. Call Save
// afterwards, which sets the cookie. nil: it is no session of this store, or its Values were cleared.
func Of(session *sessions.Session) *sessiongate.Session {
	if l, ok := session.Values[loadedKey{}].(*loaded); ok {
		return l.session
	}
	return nil
}

// Lock is Lock of the session below, for block to read and change session.Values, which it fills afresh.
// What block changes is saved; call Save afterwards nevertheless, which sets the cookie of a new session.
// Where Lock answers an error, Values are what is stored.
func Lock(ctx context.Context, session *sessions.Session, name string, life time.Duration, block func(ctx context.Context) error) error {
	held, ok := session.Values[loadedKey{}].(*loaded)
	if !ok {
		return &sessiongate.Error{Command: "Lock", Err: sessiongate.ErrBadArgument, Detail: "not a session of this store, or its Values were cleared"}
	}
	if err := held.change(session.Values); err != nil {
		return err
	}
	err := held.session.Lock(ctx, name, life, func(ctx context.Context) error {
		held.fill(session.Values)
		if err := block(ctx); err != nil {
			return err
		}
		return held.change(session.Values)
	})
	if err != nil {
		held.fill(session.Values)
	}
	return err
}

// fill makes Values what the session holds.
func (l *loaded) fill(into map[any]any) {
	for key := range into {
		delete(into, key)
	}
	for key, value := range entries(l.session) {
		into[key] = value
	}
	l.seen = into[loadedKey{}].(*loaded).seen
	into[loadedKey{}] = l
}

// Get returns the session of that name, the same one for the whole request.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New loads the session of the cookie of that name, in one round trip. Without one, or with one whose
// session is over, it is new. An error comes with a session that cannot be saved, so that what could
// not be loaded is not overwritten.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	options := *s.Options
	session.Options = &options
	session.IsNew = true
	token := ""
	for _, cookie := range r.Cookies() {
		if _, ok := s.gate.Verify(cookie.Value); ok && cookie.Name == name {
			token = cookie.Value
			break
		}
	}
	if token == "" && s.Legacy != nil {
		if former, err := s.Legacy.New(r, name); err == nil && !former.IsNew {
			former.Values[loadedKey{}] = legacy{}
			return former, nil
		}
	}
	stored, err := s.gate.Session(r.Context(), token)
	if err != nil {
		session.Values[loadedKey{}] = err
		return session, err
	}
	session.ID = stored.Token()
	session.IsNew = stored.IsNew()
	session.Values = entries(stored)
	return session, nil
}

// entries are the values of a session, with what was loaded among them. A payload that cannot be read
// hides no other.
func entries(stored *sessiongate.Session) map[any]any {
	all, seen := map[any]any{}, map[string][]byte{}
	for _, name := range stored.Names() {
		data, _ := stored.Bytes(name)
		if key, value, err := decode(name, data); err == nil {
			all[key] = value
			seen[name] = data
		}
	}
	all[loadedKey{}] = &loaded{stored, seen}
	return all
}

// Save stores what was changed, in one round trip at most, and sets the cookie where it says something
// new. A session without values is ended, and its cookie deleted.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	ctx := context.WithoutCancel(r.Context()) // a visitor who goes away has changed his session all the same
	switch mark := session.Values[loadedKey{}].(type) {
	case error:
		return mark
	case legacy:
		delete(session.Values, loadedKey{}) // which it would store
		defer func() { session.Values[loadedKey{}] = mark }()
		return s.Legacy.Save(r, w, session)
	case nil: // Values were cleared, or the session was not made by New
		if _, ok := s.gate.Verify(session.ID); !ok && session.ID != "" && s.Legacy != nil {
			return s.Legacy.Save(r, w, session)
		}
		stored, err := s.gate.Session(ctx, session.ID)
		if err != nil {
			return err
		}
		if session.ID != "" && stored.IsNew() {
			return &sessiongate.Error{Command: "Save", Err: sessiongate.ErrNoSession}
		}
		session.Values[loadedKey{}] = entries(stored)[loadedKey{}]
	}
	held := session.Values[loadedKey{}].(*loaded)
	stored := held.session
	options := *session.Options
	if options.MaxAge < 0 {
		if err := stored.End(ctx); err != nil {
			return err
		}
	} else {
		if err := held.change(session.Values); err != nil {
			return err
		}
		sent, err := stored.SaveOrEnd(ctx)
		if err != nil {
			return err
		}
		token := stored.Token()
		if token != "" && token == session.ID && options == *s.Options && options.MaxAge == 0 {
			return nil // the visitor has this cookie, or another session's by now
		}
		if token != "" && !sent {
			_, err := s.gate.TTL(ctx, token)
			if errors.Is(err, sessiongate.ErrNoSession) {
				return nil // ended meanwhile, or rotated by a login whose cookie the visitor has
			}
			if err != nil {
				return err
			}
		}
	}
	token := stored.Token()
	if token == "" {
		if session.ID == "" && options.MaxAge >= 0 {
			return nil // nothing is stored, and there is no cookie
		}
		options.MaxAge = -1
	}
	session.ID = token
	http.SetCookie(w, sessions.NewCookie(session.Name(), token, &options))
	return nil
}

// change makes the session hold what the application has changed of the values that it was given. What
// the session holds besides, and what a login or a lock has found changed by another request, stays.
func (l *loaded) change(entries map[any]any) error {
	seen := make(map[string][]byte, len(entries))
	for key, value := range entries {
		if _, ok := key.(loadedKey); ok {
			continue
		}
		name, data, err := encode(key, value)
		if err != nil {
			return err
		}
		if before, ok := l.seen[name]; ok && values.Same(before, data, value) {
			seen[name] = before
			continue
		}
		if err := l.session.SetBytes(name, data); err != nil {
			return err
		}
		seen[name] = data
	}
	for name := range l.seen {
		if _, ok := seen[name]; !ok {
			l.session.Delete(name)
		}
	}
	l.seen = seen
	return nil
}

// encode writes an entry: under its key where that is a string, else under NUL and the base64 of the
// key's gob.
func encode(key, value any) (name string, data []byte, err error) {
	name, ok := key.(string)
	if !ok || name == "" || len(name) > nameLimit || strings.HasPrefix(name, gobKey) || !utf8.ValidString(name) {
		encoded, err := values.AppendGob(nil, key)
		if err != nil {
			return "", nil, fmt.Errorf("gorilla: a key of type %T: %w", key, err)
		}
		name = gobKey + base64.RawStdEncoding.EncodeToString(encoded)
	}
	if data, err = values.Encode(value); err != nil {
		err = fmt.Errorf("gorilla: %w", err)
	}
	return name, data, err
}

const (
	gobKey    = "\x00"
	nameLimit = 200 // bytes
)

func decode(name string, data []byte) (key, value any, err error) {
	key = name
	if strings.HasPrefix(name, gobKey) {
		encoded, err := base64.RawStdEncoding.DecodeString(name[len(gobKey):])
		if err != nil {
			return nil, nil, err
		}
		if key, err = values.ReadGob(encoded); err != nil {
			return nil, nil, err
		}
	}
	value, err = values.Decode(data)
	return key, value, err
}
