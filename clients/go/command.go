package sessiongate

import (
	"context"
	"errors"
	"math/rand"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long TRYAGAIN is waited for, in all: the slot of a token is between two nodes, which takes as
// long as its keys take to move. Nothing has changed when it is answered.
const (
	tryAgainFor   = 5 * time.Second
	tryAgainFirst = 5 * time.Millisecond
	tryAgainMost  = 250 * time.Millisecond
)

// command is one command on its way through the driver, whose name is given without "SESSIONGATE.".
// Its argument 2, the token or the owner, is what a cluster routes it by: the driver would take
// argument 1, the sign key.
type command[C redis.Cmder] struct {
	redis.Cmder
	name   string
	reply  C    // the same as Cmder, to read the reply from
	resend bool // whether it may be carried out twice, when its reply was lost
}

// sendable is a command of any reply.
type sendable interface {
	redis.Cmder
	commandName() string
}

// newCommand wraps cmd, which was made by the driver's constructor of that reply. A command that
// must not be carried out twice is marked by once().
func newCommand[C redis.Cmder](name string, cmd C) *command[C] {
	cmd.SetFirstKeyPos(2)
	return &command[C]{Cmder: cmd, name: name, reply: cmd, resend: true}
}

// once says that a second END, say, would be answered NOSESSION although the first one worked.
// Drivers from 9.20 on then leave a reply that was lost at that; older ones send the command again.
func (c *command[C]) once() *command[C] {
	c.resend = false
	return c
}

// NoRetry is asked by the driver.
func (c *command[C]) NoRetry() bool { return !c.resend }

// String is what hooks and logs show of it: no sign key, no token, no data.
func (c *command[C]) String() string { return "SESSIONGATE." + c.name }

func (c *command[C]) commandName() string { return c.name }

// args are the arguments of a command: its name, the sign key, the token or owner, and more.
func args(name string, key *signKey, routed string, more ...any) []any {
	return append([]any{"SESSIONGATE." + name, key, routed}, more...)
}

// send carries out one command and returns its error, made ours.
func (g *Gate) send(ctx context.Context, c sendable) error {
	return g.patiently(ctx, []sendable{c}, func(some []sendable) {
		// The driver may say what it leaves out of the command: a context that was over.
		if err := g.client.Process(ctx, some[0]); err != nil && some[0].Err() == nil {
			some[0].SetErr(err)
		}
	})
}

// sendAll carries out commands on one token or owner in one round trip. Each has its own error
// after that, raw; the first one, made ours, is returned.
func (g *Gate) sendAll(ctx context.Context, commands ...sendable) error {
	if len(commands) == 1 {
		return g.send(ctx, commands[0])
	}
	return g.patiently(ctx, commands, func(some []sendable) {
		pipeline := g.client.Pipeline()
		for _, c := range some {
			_ = pipeline.Process(ctx, c)
		}
		if _, err := pipeline.Exec(ctx); err != nil && !anyFailed(some) {
			for _, c := range some {
				c.SetErr(err)
			}
		}
	})
}

// anyFailed tells whether one of the commands has an error of its own: where none has although the
// pipeline failed, the driver never came to send them.
func anyFailed(commands []sendable) bool {
	for _, c := range commands {
		if c.Err() != nil {
			return true
		}
	}
	return false
}

// patiently sends the commands, and those that are answered TRYAGAIN again after a while.
func (g *Gate) patiently(ctx context.Context, commands []sendable, send func([]sendable)) error {
	started, pause := time.Now(), tryAgainFirst
	waiting := commands
	for {
		send(waiting)
		var again []sendable
		for _, c := range waiting {
			if errors.Is(refusal(c.commandName(), c.Err()), ErrTryAgain) {
				again = append(again, c)
			}
		}
		waiting = again
		if len(waiting) == 0 || time.Since(started) > tryAgainFor || !sleep(ctx, jittered(pause)) {
			return firstError(commands)
		}
		for _, c := range waiting {
			c.SetErr(nil)
		}
		pause = min(2*pause, tryAgainMost)
	}
}

func firstError(commands []sendable) error {
	for _, c := range commands {
		if err := refusal(c.commandName(), c.Err()); err != nil {
			return err
		}
	}
	return nil
}

// jittered is about that long, so that those who wait for the same do not come back together.
func jittered(pause time.Duration) time.Duration {
	return pause/2 + time.Duration(rand.Int63n(int64(pause)))
}

// sleep waits; false: the context was over first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
