package sessiongate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// A lock is a payload of the session, whose life is the lock's and whose data are its holder's own:
//
//	"\x00lock:" name    128 random bits in hex
//
// No Session shows it, changes it or counts it.
const lockPrefix = "\x00lock:"

// How long a Session waits between two tries to get a lock, and for a connection to release one.
const (
	lockFirst    = 10 * time.Millisecond
	lockMost     = 100 * time.Millisecond
	lockReleased = 5 * time.Second
)

func isLock(name string) bool { return strings.HasPrefix(name, lockPrefix) }

// visible are payloads without the locks.
func visible(payloads map[string]string) map[string]string {
	for name := range payloads {
		if isLock(name) {
			delete(payloads, name)
		}
	}
	return payloads
}

// Lock runs block while no other request, thread or machine runs one under the same name in the same
// session. What was changed before is saved first; the values are then read afresh, so that block sees
// what others have stored; and what it changes is saved before the next one's turn.
//
//	err := session.Lock(ctx, "cart", 10*time.Second, func(ctx context.Context) error {
//		var items int
//		_, err := session.Get("items", &items)
//		return errors.Join(err, session.Set("items", items+1))
//	})
//
// The lock ends by itself after its life, so that one whose holder died keeps nobody away for longer;
// the context that block gets ends then too. It is waited for as long as its life, or as ctx lasts:
// ErrLockTimeout. LockWait has a bound of its own.
//
// Where Lock answers an error, be it block's, what was changed meanwhile and not saved is forgotten. A
// lock is not re-entrant: within block a second one of the same name waits, and times out. A session
// that is not stored and has nothing to store is nobody else's yet: block runs without a lock, and what
// it sets is saved. The name has 1 to 194 bytes of UTF-8; a life has a millisecond at least.
func (s *Session) Lock(ctx context.Context, name string, life time.Duration, block func(ctx context.Context) error) error {
	return s.LockWait(ctx, name, life, life, block)
}

// LockWait is Lock that waits for the lock no longer than that; 0: it tries once.
func (s *Session) LockWait(ctx context.Context, name string, life, wait time.Duration, block func(ctx context.Context) error) (err error) {
	switch {
	case len(name) == 0 || len(name) > largestName-len(lockPrefix) || !utf8.ValidString(name):
		return &Error{"Lock", ErrBadArgument, "the name is not 1 to 194 bytes of UTF-8"}
	case life <= 0:
		return &Error{"Lock", ErrBadArgument, "the life is not more than 0"}
	case wait < 0:
		return &Error{"Lock", ErrBadArgument, "the time to wait is negative"}
	}
	if err := s.Save(ctx); err != nil {
		return err
	}
	if s.IsNew() {
		return s.saving(ctx, ctx, block)
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("sessiongate: no random numbers: %w", err)
	}
	l := &lock{session: s, name: lockPrefix + name, mine: hex.EncodeToString(random), life: life}
	if err := l.acquire(ctx, wait); err != nil {
		var ours *Error
		if !errors.As(err, &ours) { // it may have been set, and the reply did not come
			_ = l.release(ctx)
		}
		return err
	}
	defer func() {
		if released := l.release(ctx); err == nil {
			err = released
		}
	}()
	if err := s.reload(ctx); err != nil {
		return err
	}
	inside, cancel := context.WithDeadline(ctx, l.ends)
	defer cancel()
	return s.saving(ctx, inside, block)
}

// saving runs block and saves. Where it fails or panics, nobody may save later, without the lock, what
// it changed.
func (s *Session) saving(ctx, inside context.Context, block func(ctx context.Context) error) error {
	saved := false
	defer func() {
		if !saved {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changes = nil
		}
	}()
	if err := block(inside); err != nil {
		return err
	}
	err := s.Save(ctx)
	saved = err == nil
	return err
}

// reload reads the payloads as they are stored now.
func (s *Session) reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return nil
	}
	all := pgetall(ctx, s.key, s.token)
	if err := s.gate.send(ctx, all); err != nil {
		return err
	}
	s.stored = visible(all.reply.Val())
	return nil
}

// lock is one that somebody wants or holds.
type lock struct {
	session *Session
	name    string // of the payload
	mine    string // its data, if it is held here
	life    time.Duration
	ends    time.Time // at the latest, the life of the last try
}

// acquire tries until it has the lock, the last time when the wait is over.
func (l *lock) acquire(ctx context.Context, wait time.Duration) error {
	until := time.Now().Add(wait)
	for pause := lockFirst; ; pause = min(2*pause, lockMost) {
		if held, err := l.try(ctx); held || err != nil {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return &Error{"Lock", ErrLockTimeout, ""}
		}
		if !sleep(ctx, min(jittered(pause), left)) {
			return ctx.Err()
		}
	}
}

// try sets the payload if there is none. The driver may have sent that again when a reply was lost, and
// then the payload that was there already is ours.
func (l *lock) try(ctx context.Context) (bool, error) {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return false, &Error{"Lock", ErrNoSession, ""}
	}
	l.ends = time.Now().Add(l.life)
	set := newCommand("PSET", redis.NewStatusCmd(ctx, args("PSET", s.key, s.token, l.name, l.mine, "NX", "PX", milliseconds(l.life))...))
	if free, err := held(s.gate.send(ctx, set)); free || err != nil {
		return free, err
	}
	get := newCommand("PGET", redis.NewStringCmd(ctx, args("PGET", s.key, s.token, l.name)...))
	err := s.gate.send(ctx, get)
	if errors.Is(err, ErrNoPayload) {
		return false, nil
	}
	return err == nil && get.reply.Val() == l.mine, err
}

// release deletes the payload where it is still ours, also when ctx was cancelled. The session may have
// another token by now, and the payload with it. What has ended by itself needs no release that works.
func (l *lock) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockReleased)
	defer cancel()
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return nil
	}
	c := newCommand("PDEL", redis.NewStatusCmd(ctx, args("PDEL", s.key, s.token, l.name, "IFEQ", l.mine)...))
	_, err := held(s.gate.send(ctx, c))
	if errors.Is(err, ErrNoSession) || !time.Now().Before(l.ends) {
		return nil
	}
	return err
}
