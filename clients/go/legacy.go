package sessiongate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config is what NewSessiongate takes.
type Config struct {
	SignKey     []byte        // at least one byte
	Addr        string        // host:port of the server; "": ":6379"
	MaxIdle     int           // how many unused connections are kept; 0: 3
	IdleTimeout time.Duration // for how long; 0: 240 seconds
}

// Format shows nothing of a Config, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessiongate.Config") }

// Sessiongate is the driver that the first SessionGate had: its programs go on by changing the
// import. New ones use a Gate.
type Sessiongate struct {
	gate *Gate
}

// NewSessiongate makes a driver with connections of its own to a single server. It does not connect
// yet. An error means that the sign key is missing.
func NewSessiongate(config *Config) (*Sessiongate, error) {
	if config == nil || len(config.SignKey) == 0 {
		return nil, errors.New("sessiongate: Config.SignKey is missing")
	}
	options := redis.Options{Addr: config.Addr, MaxIdleConns: config.MaxIdle, ConnMaxIdleTime: config.IdleTimeout}
	if options.Addr == "" {
		options.Addr = ":6379"
	}
	if options.MaxIdleConns == 0 {
		options.MaxIdleConns = 3
	}
	if options.ConnMaxIdleTime == 0 {
		options.ConnMaxIdleTime = 240 * time.Second
	}
	options.MaxRetries = -1 // the old driver sent each command once
	gate, err := New(redis.NewClient(&options), Options{SignKeys: [][]byte{config.SignKey}})
	if err != nil {
		return nil, err
	}
	return &Sessiongate{gate}, nil
}

// Start starts a session of ttl seconds and returns its token.
func (s *Sessiongate) Start(ttl int) ([]byte, error) {
	ctx := context.Background()
	c := newCommand("START", redis.NewStringCmd(ctx, "SESSIONGATE.START", s.gate.newest(), ttl))
	if err := s.gate.send(ctx, c.once()); err != nil {
		return nil, err
	}
	return []byte(c.reply.Val()), nil
}

// Expire sets the life of a session to ttl seconds from now on.
func (s *Sessiongate) Expire(token []byte, ttl int) error {
	return s.gate.expire(context.Background(), string(token), int64(ttl))
}

// PSet sets a payload of a session.
func (s *Sessiongate) PSet(token, name, payload []byte) error {
	_, err := s.gate.PSet(context.Background(), string(token), string(name), payload, Always)
	return err
}

// PGet returns a payload of a session.
func (s *Sessiongate) PGet(token, name []byte) ([]byte, error) {
	return s.gate.PGet(context.Background(), string(token), string(name))
}

// PDel deletes a payload of a session.
func (s *Sessiongate) PDel(token, name []byte) error {
	return s.gate.PDel(context.Background(), string(token), string(name))
}

// End ends a session.
func (s *Sessiongate) End(token []byte) error {
	return s.gate.End(context.Background(), string(token))
}

// Close closes the connections. The old driver had none; a program that ends need not call it.
func (s *Sessiongate) Close() error { return s.gate.client.Close() }
