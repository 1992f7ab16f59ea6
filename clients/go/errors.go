package sessiongate

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What a call can be refused with, to be asked for by errors.Is. No text has a sign key, a token or
// data. What the driver itself raises (connections, timeouts, the server's errors of its own such as
// READONLY or OOM) is passed on as it is.
var (
	ErrBadArgument  = errors.New("an argument is wrong")
	ErrBadToken     = errors.New("the token is not of a token's form")
	ErrBadSignature = errors.New("the token is not signed with any of the sign keys")
	ErrNoSession    = errors.New("no such session: it was never started, was ended, or expired")
	ErrNoPayload    = errors.New("the session has no payload of that name")
	ErrBusyToken    = errors.New("a session of that token lives already")
	ErrWrongType    = errors.New("the key of that name holds something else")
	ErrNoSlot       = errors.New("the node serves no hash slot where a session could be started")
	ErrTryAgain     = errors.New("the slot is being moved, for longer than was waited")
	ErrClusterDown  = errors.New("the cluster is down")
	ErrNotLoaded    = errors.New("the server does not know the command: SessionGate is not loaded, or an older one")
	ErrLockTimeout  = errors.New("another one had the lock for as long as was waited")
	ErrBadPayload   = errors.New("a payload is not what the serializer reads")
)

// Error is a call that was refused: errors.Is tells by which of the errors above.
type Error struct {
	Command string // "PGET", or the method of Session
	Err     error  // one of the errors above
	Detail  string // what the server said besides, or ""
}

func (e *Error) Error() string {
	text := "sessiongate: " + e.Command + ": " + e.Err.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

var errorOfCode = map[string]error{
	"ERR":          ErrBadArgument,
	"BADTOKEN":     ErrBadToken,
	"BADSIGNATURE": ErrBadSignature,
	"NOSESSION":    ErrNoSession,
	"NOPAYLOAD":    ErrNoPayload,
	"BUSYTOKEN":    ErrBusyToken,
	"WRONGTYPE":    ErrWrongType,
	"NOSLOT":       ErrNoSlot,
	"TRYAGAIN":     ErrTryAgain,
	"CLUSTERDOWN":  ErrClusterDown,
}

// refusal makes the error of a command out of the driver's. A new one, not a wrapped one: of a
// command that it does not know the server repeats the first arguments, the sign key among them.
func refusal(command string, err error) error {
	var said redis.Error
	if err == nil || errors.Is(err, redis.Nil) || !errors.As(err, &said) {
		return err
	}
	code, sentence, _ := strings.Cut(said.Error(), " ")
	known := errorOfCode[code]
	switch {
	case known == nil, strings.HasPrefix(sentence, "max number of clients"):
		return err
	case known != ErrBadArgument:
		return &Error{Command: command, Err: known}
	case strings.HasPrefix(sentence, "unknown command"):
		return &Error{Command: command, Err: ErrNotLoaded}
	}
	return &Error{Command: command, Err: known, Detail: sentence}
}
