// Package gin is a store for github.com/gin-contrib/sessions that keeps sessions in SessionGate. What
// the store of package gorilla says holds for it.
package gin

import (
	"context"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/gorilla"
	"github.com/gin-contrib/sessions"
	gorillasessions "github.com/gorilla/sessions"
)

// Store implements sessions.Store.
type Store struct {
	*gorilla.Store
}

var _ sessions.Store = Store{}

// NewStore makes a store whose cookies are Secure, HttpOnly, SameSite=Lax, of Path=/, and end with the
// browser.
func NewStore(gate *sessiongate.Gate) Store { return Store{gorilla.NewStore(gate)} }

// Options sets what the cookies of all sessions have, instead of those of NewStore.
func (s Store) Options(options sessions.Options) { s.Store.Options = options.ToGorillaOptions() }

// Of returns the session below a session of this store: for Rotate, Login and End. Set something and
// call Save afterwards, which sets the cookie. nil: it is no session of this store, or was cleared.
func Of(session sessions.Session) *sessiongate.Session { return gorilla.Of(below(session)) }

// Lock is Lock of package gorilla: block gets and sets values of session, which were read afresh.
func Lock(ctx context.Context, session sessions.Session, name string, life time.Duration, block func(ctx context.Context) error) error {
	return gorilla.Lock(ctx, below(session), name, life, block)
}

// below is gorilla's session, or an empty one of no store.
func below(session sessions.Session) *gorillasessions.Session {
	if wrapped, ok := session.(interface {
		Session() *gorillasessions.Session
	}); ok {
		return wrapped.Session()
	}
	return &gorillasessions.Session{}
}
