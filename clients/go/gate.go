// Package sessiongate is the Go client of SessionGate, a module for Redis and Valkey that manages
// sessions by token.
//
// A [Gate] is one application's access, over a go-redis client that the application has made. It has
// a method for each command. [Session] is one visitor's session as a web application uses it, and
// [Gate.Handler] gives one to each request of net/http. [NewSessiongate] is the API of the driver
// that the first SessionGate had.
//
// Times are given in whole seconds to the server: a part of a second counts as a whole one. Lives of
// payloads alone are in milliseconds.
package sessiongate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// What Options have where they are left out.
const (
	DefaultTTL     = 30 * time.Minute
	DefaultRefresh = time.Minute
	DefaultCookie  = "session"
)

// Options are what a Gate is made with. Only SignKeys has no default.
type Options struct {
	// SignKeys are the application's secrets, newest first: any bytes, best 32 random ones. New tokens
	// are signed with the first; tokens of the others go on working until they are rotated.
	SignKeys [][]byte

	// TTL is the life of a new session, restored as it is used. 0: DefaultTTL.
	TTL time.Duration

	// MaxTTL is the deadline of a new session, however much it is used. 0: none.
	MaxTTL time.Duration

	// Refresh is the age from which loading a Session restores its life, which is a write; at most a
	// tenth of TTL counts. 0: DefaultRefresh; negative: at every load.
	Refresh time.Duration

	// TokenFormat is the form of new tokens. "": V2.
	TokenFormat TokenFormat

	// Cookie is how Handler sets it: HttpOnly, SameSite=Lax, Path=/ and, unless Insecure, Secure.
	Cookie Cookie

	// OnError hears of what Handler cannot tell the visitor: a session that was ended while the request
	// ran, or that could not be saved. nil: slog's default logger does, as a warning. Its errors show no
	// sign key and no token.
	OnError func(r *http.Request, err error)
}

// Format shows nothing of Options, whatever the verb.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessiongate.Options") }

// Cookie is the cookie that Handler sets. Its value is the token.
type Cookie struct {
	Name     string // "": DefaultCookie
	Insecure bool   // also over plain HTTP, for development
}

// Gate is one application's access to its sessions. It is safe for use by many goroutines, and holds
// nothing to close: the client is its maker's.
type Gate struct {
	client  redis.UniversalClient
	keys    *[]*signKey // behind a pointer, for whoever prints a struct with a Gate in it
	ttl     time.Duration
	maxTTL  time.Duration
	refresh time.Duration // as Options have it
	minAge  time.Duration // what that comes to with this ttl
	format  TokenFormat
	cookie  Cookie
	onError func(*http.Request, error)
}

// New makes a Gate on a client for a single server, Sentinel, a cluster or a ring. It sends nothing.
func New(client redis.UniversalClient, options Options) (*Gate, error) {
	if client == nil {
		return nil, errors.New("sessiongate: a Gate needs a client")
	}
	if len(options.SignKeys) == 0 {
		return nil, errors.New("sessiongate: Options.SignKeys has no sign key")
	}
	keys := make([]*signKey, len(options.SignKeys))
	for i, key := range options.SignKeys {
		if len(key) == 0 {
			return nil, fmt.Errorf("sessiongate: Options.SignKeys[%d] is empty", i)
		}
		keys[i] = newSignKey(key)
	}
	if options.TTL < 0 || options.MaxTTL < 0 {
		return nil, errors.New("sessiongate: Options.TTL and MaxTTL are not negative")
	}
	g := &Gate{
		client:  client,
		keys:    &keys,
		ttl:     options.TTL,
		maxTTL:  options.MaxTTL,
		refresh: options.Refresh,
		format:  options.TokenFormat,
		cookie:  options.Cookie,
		onError: options.OnError,
	}
	if g.ttl == 0 {
		g.ttl = DefaultTTL
	}
	if g.refresh == 0 {
		g.refresh = DefaultRefresh
	}
	g.setMinAge()
	switch g.format {
	case "":
		g.format = V2
	case V1, V2:
	default:
		return nil, errors.New("sessiongate: Options.TokenFormat is V1 or V2")
	}
	if g.cookie.Name == "" {
		g.cookie.Name = DefaultCookie
	}
	if (&http.Cookie{Name: g.cookie.Name}).String() == "" {
		return nil, errors.New("sessiongate: Options.Cookie.Name is no name that a cookie can have")
	}
	if g.onError == nil {
		g.onError = logError
	}
	return g, nil
}

func (g *Gate) setMinAge() { g.minAge = max(0, min(g.refresh, g.ttl/10)).Truncate(time.Second) }

// WithTTL returns a Gate of the same settings but another TTL, more than 0: for sessions that live
// shorter than others, whose lives loading has to restore earlier.
func (g *Gate) WithTTL(ttl time.Duration) *Gate {
	other := *g
	other.ttl = ttl
	other.setMinAge()
	return &other
}

// Format shows nothing of a Gate, whatever the verb.
func (g *Gate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessiongate.Gate") }

// newest is the sign key of new tokens.
func (g *Gate) newest() *signKey { return (*g.keys)[0] }

// keyOf returns the sign key that the token is signed with and its position, or an error that
// names command. It asks no server, so a forged cookie never reaches one.
func (g *Gate) keyOf(command, token string) (*signKey, int, error) {
	p, ok := parse(token)
	if !ok {
		if token == "" {
			return nil, 0, &Error{command, ErrBadArgument, "<token> is empty"}
		}
		return nil, 0, &Error{command, ErrBadToken, ""}
	}
	for i, key := range *g.keys {
		if key.signed(p) {
			return key, i, nil
		}
	}
	return nil, 0, &Error{command, ErrBadSignature, ""}
}

// Verified is a token that one of the sign keys signed.
type Verified struct {
	Position int // of the sign key, in Options.SignKeys
	Format   TokenFormat
}

// Verify tells whether one of the sign keys signed the token, and which. It asks no server: whether
// there is a session is another question.
func (g *Gate) Verify(token string) (Verified, bool) {
	p, ok := parse(token)
	if !ok {
		return Verified{}, false
	}
	_, position, err := g.keyOf("", token)
	return Verified{position, p.format}, err == nil
}

// Mint makes a token, for Adopt. No server hears of it.
func (g *Gate) Mint() (string, error) { return g.newest().mint(g.format) }

// Derive returns the tokens that belong to a secret which another library made, such as its own
// session's token: one for each sign key, the newest's first. The same secret has the same ones. They
// are as hard to guess as the secret: it should be drawn from 128 random bits at least.
func (g *Gate) Derive(secret string) []string {
	tokens := make([]string, len(*g.keys))
	for i, key := range *g.keys {
		tokens[i] = key.derive(secret)
	}
	return tokens
}

// Life is what a session starts with.
type Life struct {
	TTL      time.Duration // 0: the Gate's
	MaxTTL   time.Duration // 0: the Gate's
	Limit    int           // OStart: how many sessions the owner may have, this one included; 0: any
	Payloads map[string][]byte
}

// start is the TTL of a life in seconds, and the arguments that stand behind it.
func (g *Gate) start(life Life) (ttl int64, options []any) {
	if life.TTL == 0 {
		life.TTL = g.ttl
	}
	if life.MaxTTL == 0 {
		life.MaxTTL = g.maxTTL
	}
	if life.MaxTTL != 0 {
		options = append(options, "MAXTTL", seconds(life.MaxTTL))
	}
	if life.Limit != 0 {
		options = append(options, "LIMIT", life.Limit)
	}
	if len(life.Payloads) > 0 {
		options = append(options, "PAYLOADS", len(life.Payloads))
		options = appendPayloads(options, life.Payloads)
	}
	return seconds(life.TTL), options
}

func appendPayloads(args []any, payloads map[string][]byte) []any {
	for name, data := range payloads {
		args = append(args, name, data)
	}
	return args
}

// seconds rounds away from zero, so that what was negative or not zero stays it.
func seconds(d time.Duration) int64 { return rounded(d, time.Second) }

func milliseconds(d time.Duration) int64 { return rounded(d, time.Millisecond) }

func rounded(d, unit time.Duration) int64 {
	whole := int64(d / unit)
	switch rest := d % unit; {
	case rest > 0:
		return whole + 1
	case rest < 0:
		return whole - 1
	}
	return whole
}

// Start starts a session and returns its token. Life.Limit is OStart's.
//
// Other clients than a single server's have no node to send START to, by which the session would be
// found again: there the token is made here, and adopted.
func (g *Gate) Start(ctx context.Context, life Life) (string, error) {
	life.Limit = 0
	if _, single := g.client.(*redis.Client); !single {
		return g.adoptNew(ctx, life)
	}
	ttl, options := g.start(life)
	arguments := append([]any{"SESSIONGATE.START", g.newest(), ttl, "FORMAT", string(g.format)}, options...)
	c := newCommand("START", redis.NewStringCmd(ctx, arguments...)).once()
	if err := g.send(ctx, c); err != nil {
		return "", err
	}
	return c.reply.Val(), nil
}

// adoptNew starts a session of a token made here. A reply that was lost is repeated by the driver,
// so its BUSYTOKEN says that the first one was carried out.
func (g *Gate) adoptNew(ctx context.Context, life Life) (string, error) {
	token, err := g.Mint()
	if err != nil {
		return "", err
	}
	if err = g.adopt(ctx, g.newest(), token, life); err != nil && !errors.Is(err, ErrBusyToken) {
		return "", err
	}
	return token, nil
}

// Adopt starts a session under a token that Mint made. ErrBusyToken: it has one already.
func (g *Gate) Adopt(ctx context.Context, token string, life Life) error {
	key, _, err := g.keyOf("ADOPT", token)
	if err != nil {
		return err
	}
	return g.adopt(ctx, key, token, life)
}

func (g *Gate) adopt(ctx context.Context, key *signKey, token string, life Life) error {
	life.Limit = 0
	ttl, options := g.start(life)
	return g.send(ctx, newCommand("ADOPT", redis.NewStatusCmd(ctx, args("ADOPT", key, token, append([]any{ttl}, options...)...)...)))
}

// SetOption is when PSet sets a payload, or for how long: Always, NX, XX, IfEqual or For.
type SetOption interface{ add(*setting) }

// Cond is when PSet sets a payload.
type Cond string

// The conditions of PSet, besides IfEqual.
const (
	Always Cond = ""
	NX     Cond = "NX" // only if there is no payload of that name
	XX     Cond = "XX" // only if there is one
)

// setting is what the options of a PSet come to.
type setting struct {
	conditions, lives int
	arguments         []any
}

func (c Cond) add(s *setting) {
	if c != Always {
		s.conditions++
		s.arguments = append(s.arguments, string(c))
	}
}

type ifEqual struct{ data []byte }

func (i ifEqual) add(s *setting) {
	s.conditions++
	s.arguments = append(s.arguments, "IFEQ", i.data)
}

// IfEqual sets a payload only if there is one of that name with exactly these bytes, at least one.
func IfEqual(data []byte) SetOption { return ifEqual{data} }

type lasting struct{ life time.Duration }

func (l lasting) add(s *setting) {
	s.lives++
	s.arguments = append(s.arguments, "PX", milliseconds(l.life))
}

// For gives a payload a life of its own, more than 0. Without it the payload lasts as long as the
// session.
func For(life time.Duration) SetOption { return lasting{life} }

// PSet sets a payload, and tells whether the condition held. At most one condition and one life may
// be given.
func (g *Gate) PSet(ctx context.Context, token, name string, data []byte, options ...SetOption) (bool, error) {
	var s setting
	for _, option := range options {
		option.add(&s)
	}
	switch {
	case s.conditions > 1:
		return false, &Error{"PSET", ErrBadArgument, "more than one condition is given"}
	case s.lives > 1:
		return false, &Error{"PSET", ErrBadArgument, "more than one life is given"}
	}
	key, _, err := g.keyOf("PSET", token)
	if err != nil {
		return false, err
	}
	c := newCommand("PSET", redis.NewStatusCmd(ctx, args("PSET", key, token, append([]any{name, data}, s.arguments...)...)...))
	c.resend = s.conditions == 0
	return held(g.send(ctx, c))
}

// held tells whether the condition of a call held: where not, its reply is null.
func held(err error) (bool, error) {
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

// PMSet sets payloads, all or none.
func (g *Gate) PMSet(ctx context.Context, token string, payloads map[string][]byte) error {
	key, _, err := g.keyOf("PMSET", token)
	if err != nil {
		return err
	}
	arguments := appendPayloads(args("PMSET", key, token), payloads)
	return g.send(ctx, newCommand("PMSET", redis.NewStatusCmd(ctx, arguments...)))
}

// PGet returns a payload, or ErrNoPayload.
func (g *Gate) PGet(ctx context.Context, token, name string) ([]byte, error) {
	return g.readPayload(ctx, "PGET", token, name, true)
}

// PPop deletes a payload and returns it: of many who ask one gets it, the others ErrNoPayload.
func (g *Gate) PPop(ctx context.Context, token, name string) ([]byte, error) {
	return g.readPayload(ctx, "PPOP", token, name, false)
}

func (g *Gate) readPayload(ctx context.Context, command, token, name string, resend bool) ([]byte, error) {
	key, _, err := g.keyOf(command, token)
	if err != nil {
		return nil, err
	}
	c := newCommand(command, redis.NewStringCmd(ctx, args(command, key, token, name)...))
	c.resend = resend
	if err := g.send(ctx, c); err != nil {
		return nil, err
	}
	return []byte(c.reply.Val()), nil
}

// PMGet returns payloads in the order of the names, nil where there is none.
func (g *Gate) PMGet(ctx context.Context, token string, names ...string) ([][]byte, error) {
	key, _, err := g.keyOf("PMGET", token)
	if err != nil {
		return nil, err
	}
	arguments := args("PMGET", key, token)
	for _, name := range names {
		arguments = append(arguments, name)
	}
	c := newCommand("PMGET", redis.NewSliceCmd(ctx, arguments...))
	if err := g.send(ctx, c); err != nil {
		return nil, err
	}
	payloads := make([][]byte, len(names))
	for i, value := range c.reply.Val() {
		if data, ok := value.(string); ok && i < len(payloads) {
			payloads[i] = []byte(data)
		}
	}
	return payloads, nil
}

// PGetAll returns all payloads.
func (g *Gate) PGetAll(ctx context.Context, token string) (map[string][]byte, error) {
	key, _, err := g.keyOf("PGETALL", token)
	if err != nil {
		return nil, err
	}
	c := pgetall(ctx, key, token)
	if err := g.send(ctx, c); err != nil {
		return nil, err
	}
	return bytesOf(c.reply.Val()), nil
}

func pgetall(ctx context.Context, key *signKey, token string) *command[*redis.MapStringStringCmd] {
	return newCommand("PGETALL", redis.NewMapStringStringCmd(ctx, args("PGETALL", key, token)...))
}

func bytesOf(payloads map[string]string) map[string][]byte {
	all := make(map[string][]byte, len(payloads))
	for name, data := range payloads {
		all[name] = []byte(data)
	}
	return all
}

// PDel deletes a payload, or answers ErrNoPayload.
func (g *Gate) PDel(ctx context.Context, token, name string) error {
	key, _, err := g.keyOf("PDEL", token)
	if err != nil {
		return err
	}
	return g.send(ctx, pdel(ctx, key, token, name).once())
}

// PDelIfEqual deletes a payload that has exactly these bytes, at least one, and tells whether there was
// such.
func (g *Gate) PDelIfEqual(ctx context.Context, token, name string, data []byte) (bool, error) {
	key, _, err := g.keyOf("PDEL", token)
	if err != nil {
		return false, err
	}
	c := newCommand("PDEL", redis.NewStatusCmd(ctx, args("PDEL", key, token, name, "IFEQ", data)...))
	return held(g.send(ctx, c.once()))
}

func pdel(ctx context.Context, key *signKey, token, name string) *command[*redis.StatusCmd] {
	return newCommand("PDEL", redis.NewStatusCmd(ctx, args("PDEL", key, token, name)...))
}

// TTL returns what a session has left; negative: it does not expire.
func (g *Gate) TTL(ctx context.Context, token string) (time.Duration, error) {
	return g.readTime(ctx, time.Second, "TTL", token)
}

// PTTL returns what a payload has left of a life of its own, even past the session's end; negative: it
// has none, and lasts as long as the session.
func (g *Gate) PTTL(ctx context.Context, token, name string) (time.Duration, error) {
	return g.readTime(ctx, time.Millisecond, "PTTL", token, name)
}

// Touch restores the life of a session, and returns what is left as TTL does. Within minAge of its
// last refresh it does nothing.
func (g *Gate) Touch(ctx context.Context, token string, minAge time.Duration) (time.Duration, error) {
	return g.readTime(ctx, time.Second, "TOUCH", token, "MINAGE", seconds(minAge))
}

func (g *Gate) readTime(ctx context.Context, unit time.Duration, command, token string, more ...any) (time.Duration, error) {
	key, _, err := g.keyOf(command, token)
	if err != nil {
		return 0, err
	}
	c := newCommand(command, redis.NewIntCmd(ctx, args(command, key, token, more...)...))
	if err := g.send(ctx, c); err != nil {
		return 0, err
	}
	return time.Duration(c.reply.Val()) * unit, nil
}

// Expire sets the life of a session from now on, as far as its deadline allows. 0 ends it.
func (g *Gate) Expire(ctx context.Context, token string, ttl time.Duration) error {
	return g.expire(ctx, token, seconds(ttl))
}

func (g *Gate) expire(ctx context.Context, token string, ttl int64) error {
	key, _, err := g.keyOf("EXPIRE", token)
	if err != nil {
		return err
	}
	c := newCommand("EXPIRE", redis.NewStatusCmd(ctx, args("EXPIRE", key, token, ttl)...))
	c.resend = ttl != 0
	return g.send(ctx, c)
}

// Info is what is known of a session besides its payloads.
type Info struct {
	Created  time.Time
	TTL      time.Duration // left; negative: it does not expire
	Idle     time.Duration // what Touch restores
	Deadline time.Time     // zero: none
	Payloads int
	Bytes    int64  // their names and data together
	Owner    string // "": none
}

// Info returns what is known of a session.
func (g *Gate) Info(ctx context.Context, token string) (Info, error) {
	key, _, err := g.keyOf("INFO", token)
	if err != nil {
		return Info{}, err
	}
	c := info(ctx, key, token)
	if err := g.send(ctx, c); err != nil {
		return Info{}, err
	}
	return readInfo(c.reply.Val()), nil
}

func info(ctx context.Context, key *signKey, token string) *command[*redis.Cmd] {
	return newCommand("INFO", redis.NewCmd(ctx, args("INFO", key, token)...))
}

// readInfo reads a map, or RESP2's fields and values by turns. Fields of newer servers are left out.
func readInfo(reply any) (i Info) {
	field := func(name, value any) {
		number, _ := value.(int64)
		switch name {
		case "created":
			i.Created = time.UnixMilli(number)
		case "ttl":
			i.TTL = time.Duration(number) * time.Millisecond
		case "idle":
			i.Idle = time.Duration(number) * time.Millisecond
		case "deadline":
			if number != 0 {
				i.Deadline = time.UnixMilli(number)
			}
		case "payloads":
			i.Payloads = int(number)
		case "bytes":
			i.Bytes = number
		case "owner":
			i.Owner, _ = value.(string)
		}
	}
	switch reply := reply.(type) {
	case map[any]any:
		for name, value := range reply {
			field(name, value)
		}
	case []any:
		for at := 0; at+1 < len(reply); at += 2 {
			field(reply[at], reply[at+1])
		}
	}
	return i
}

// Rotation is how Rotate changes a session.
type Rotation struct {
	Grace  time.Duration // for how long the old token leads to the session too, at most 5 minutes
	TTL    time.Duration // 0: the life stays
	MaxTTL time.Duration // 0: the deadline stays
}

// Rotate gives a session a new token, signed with the newest sign key, and returns it. Without a
// grace the old token is dead at once: so at logins.
func (g *Gate) Rotate(ctx context.Context, token string, rotation Rotation) (string, error) {
	key, position, err := g.keyOf("ROTATE", token)
	if err != nil {
		return "", err
	}
	arguments := args("ROTATE", key, token)
	if position != 0 {
		arguments = append(arguments, "NEWKEY", g.newest())
	}
	for _, option := range []struct {
		name string
		time time.Duration
	}{{"GRACE", rotation.Grace}, {"TTL", rotation.TTL}, {"MAXTTL", rotation.MaxTTL}} {
		if option.time != 0 {
			arguments = append(arguments, option.name, seconds(option.time))
		}
	}
	c := newCommand("ROTATE", redis.NewStringCmd(ctx, arguments...))
	c.resend = rotation.Grace > 0
	if err := g.send(ctx, c); err != nil {
		return "", err
	}
	return c.reply.Val(), nil
}

// End ends a session.
func (g *Gate) End(ctx context.Context, token string) error {
	key, _, err := g.keyOf("END", token)
	if err != nil {
		return err
	}
	return g.send(ctx, newCommand("END", redis.NewStatusCmd(ctx, args("END", key, token)...)).once())
}
