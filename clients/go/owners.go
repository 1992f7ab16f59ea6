package sessiongate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sort"
	"time"

	"github.com/redis/go-redis/v9"
)

// OStart starts a session of an owner (1 to 200 bytes, such as "user:42") and returns its token.
// With Life.Limit the owner's oldest sessions end where there are more; only those whose tokens the
// newest sign key signed are counted.
func (g *Gate) OStart(ctx context.Context, owner string, life Life) (string, error) {
	ttl, options := g.start(life)
	arguments := args("OSTART", g.newest(), owner, append([]any{ttl}, options...)...)
	c := newCommand("OSTART", redis.NewStringCmd(ctx, arguments...)).once()
	if err := g.send(ctx, c); err != nil {
		return "", err
	}
	return c.reply.Val(), nil
}

// OList returns the tokens of an owner's sessions: of the newest sign key first, and of each the
// oldest first.
func (g *Gate) OList(ctx context.Context, owner string) ([]string, error) {
	lists := make([]sendable, len(*g.keys))
	replies := make([]*redis.StringSliceCmd, len(*g.keys))
	for i, key := range *g.keys {
		replies[i] = redis.NewStringSliceCmd(ctx, args("OLIST", key, owner)...)
		lists[i] = newCommand("OLIST", replies[i])
	}
	if err := g.sendAll(ctx, lists...); err != nil {
		return nil, err
	}
	var tokens []string
	for _, reply := range replies {
		tokens = append(tokens, reply.Val()...)
	}
	return tokens, nil
}

// OEnd ends an owner's sessions, all but the one of the token keep where that is given, and tells how
// many. Where keep leads to no living session of that owner nothing ends: ErrNoSession. So it is where
// keep is "", the token of a session that is not stored.
//
// Each sign key's sessions end at once; with several sign keys it is a call for each, and an error
// may leave those of the other keys.
func (g *Gate) OEnd(ctx context.Context, owner string, keep ...string) (int, error) {
	switch {
	case len(keep) > 1:
		return 0, &Error{"OEND", ErrBadArgument, "more than one session is to be kept"}
	case len(keep) == 1 && keep[0] == "":
		return 0, &Error{"OEND", ErrNoSession, ""}
	}
	ended := 0
	end := func(key *signKey, more ...any) error {
		c := newCommand("OEND", redis.NewIntCmd(ctx, args("OEND", key, owner, more...)...)).once()
		err := g.send(ctx, c)
		ended += int(c.reply.Val())
		return err
	}
	kept := -1
	if len(keep) == 1 {
		key, position, err := g.keyOf("OEND", keep[0])
		if err == nil {
			err = end(key, "KEEP", keep[0])
		}
		if err != nil {
			return 0, err
		}
		kept = position
	}
	for i, key := range *g.keys {
		if i == kept {
			continue
		}
		if err := end(key); err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// EndAll is OEnd, by the name that it has in every client: "log me out everywhere".
func (g *Gate) EndAll(ctx context.Context, owner string, keep ...string) (int, error) {
	return g.OEnd(ctx, owner, keep...)
}

// Device is one of an owner's sessions, for a page of "your devices".
type Device struct {
	ID       string // may be shown: a hash of the token, by which EndSession finds it
	Started  time.Time
	Current  bool
	Payloads map[string][]byte // without locks
}

func deviceID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:16])
}

// Sessions returns an owner's sessions, the oldest first. current is the token of the request that
// asks, which marks one of them; "": none.
func (g *Gate) Sessions(ctx context.Context, owner, current string) ([]Device, error) {
	tokens, err := g.OList(ctx, owner)
	if err != nil || len(tokens) == 0 {
		return nil, err
	}
	var commands []sendable
	payloads := make([]*command[*redis.MapStringStringCmd], len(tokens))
	infos := make([]*command[*redis.Cmd], len(tokens))
	for i, token := range tokens {
		key, _, err := g.keyOf("OLIST", token)
		if err != nil {
			return nil, err
		}
		payloads[i], infos[i] = pgetall(ctx, key, token), info(ctx, key, token)
		commands = append(commands, payloads[i], infos[i])
	}
	_ = g.sendAll(ctx, commands...) // each is looked at below
	devices := make([]Device, 0, len(tokens))
	for i, token := range tokens {
		err := firstError([]sendable{payloads[i], infos[i]})
		switch {
		case errors.Is(err, ErrNoSession): // it ended since it was listed
			continue
		case err != nil:
			return nil, err
		}
		devices = append(devices, Device{
			ID:       deviceID(token),
			Started:  readInfo(infos[i].reply.Val()).Created,
			Current:  token == current,
			Payloads: bytesOf(visible(payloads[i].reply.Val())),
		})
	}
	sort.SliceStable(devices, func(a, b int) bool { return devices[a].Started.Before(devices[b].Started) })
	return devices, nil
}

// EndSession ends the session of an owner that Sessions showed under id. false: there is none, any
// more.
func (g *Gate) EndSession(ctx context.Context, owner, id string) (bool, error) {
	tokens, err := g.OList(ctx, owner)
	if err != nil {
		return false, err
	}
	for _, token := range tokens {
		if deviceID(token) == id {
			err := g.End(ctx, token)
			if errors.Is(err, ErrNoSession) {
				return false, nil
			}
			return err == nil, err
		}
	}
	return false, nil
}
