package sessiongate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { lend.Main(m, "os/signal.loop") } // of fuzzing

var ctx = context.Background()

func sec(n int64) time.Duration { return time.Duration(n) * time.Second }

// place is one kind of servers, and a client of it.
type place struct {
	name    string
	servers *lend.Servers
	client  redis.UniversalClient
	cluster bool
}

// single is this machine's Redis.
func single(t testing.TB) place {
	t.Helper()
	s := lend.Shared(t)
	return place{"redis", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)})), false}
}

// cluster is a cluster of three masters.
func cluster(t testing.TB) place {
	t.Helper()
	s := lend.Shared(t, "--cluster", "3")
	return place{"cluster", s, closed(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: s.Addrs()})), true}
}

// valkey is Valkey 9.
func valkey(t testing.TB) place {
	t.Helper()
	s := lend.Shared(t, "--server", "valkey-sid")
	return place{"valkey", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)})), false}
}

// resp2 is this machine's Redis by a client that does not speak RESP3, where the driver has such.
func resp2(t testing.TB) place {
	t.Helper()
	s := lend.Shared(t)
	options, err := redis.ParseURL("redis://" + s.Addr(0) + "?protocol=2")
	if err != nil {
		t.Skip("this go-redis speaks RESP3 alone")
	}
	return place{"RESP2", s, closed(t, redis.NewClient(options)), false}
}

func closed[C redis.UniversalClient](t testing.TB, client C) C {
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// everywhere runs a test on a single server, by RESP2 too, on Valkey 9, and in a cluster.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("redis", func(t *testing.T) { test(t, single(t)) })
	t.Run("RESP2", func(t *testing.T) { test(t, resp2(t)) })
	t.Run("valkey", func(t *testing.T) { test(t, valkey(t)) })
	t.Run("cluster", func(t *testing.T) { test(t, cluster(t)) })
}

// gate makes a Gate; without Options.SignKeys it has one of its own.
func (p place) gate(t testing.TB, options Options) *Gate {
	t.Helper()
	if options.SignKeys == nil {
		options.SignKeys = [][]byte{randomKey(t)}
	}
	gate, err := New(p.client, options)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

func randomKey(t testing.TB) []byte {
	t.Helper()
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return []byte(hex.EncodeToString(key))
}

func (p place) start(t testing.TB, gate *Gate, life Life) string {
	t.Helper()
	token, err := gate.Start(ctx, life)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// stat is a field of the server's INFO, summed over the nodes.
func (p place) stat(t testing.TB, section, field string) (sum int64) {
	t.Helper()
	for _, addr := range p.servers.Addrs() {
		node := redis.NewClient(&redis.Options{Addr: addr})
		text, err := node.Info(ctx, section).Result()
		_ = node.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(text, "\r\n") {
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, field) {
				value = strings.Split(value, ",")[0]
				value = value[strings.Index(value, "=")+1:] // of "calls=1" and "count=1"
				number, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += number
			}
		}
	}
	return sum
}

// trips counts the round trips of a call, on a single server: how often it read from clients.
func (p place) trips(t testing.TB, call func()) int64 {
	t.Helper()
	// INFO itself is read from a connection of its own: what that costs is subtracted.
	own := func(call func()) int64 {
		before := p.stat(t, "stats", "total_reads_processed")
		call()
		return p.stat(t, "stats", "total_reads_processed") - before
	}
	// The greetings of new connections are none of the call's; newer drivers have some for pipelines.
	noError(t, p.client.Ping(ctx).Err())
	_, err := p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error { return errors.Join(pipe.Ping(ctx).Err(), pipe.Ping(ctx).Err()) })
	noError(t, err)
	idle := own(func() {})
	return own(call) - idle
}

func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v instead of: %v", what, err, want)
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contextRequest(t testing.TB, url string) (*http.Request, context.CancelFunc) {
	t.Helper()
	cancelable, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(cancelable, http.MethodGet, url, nil)
	noError(t, err)
	return request, cancel
}
