package sessiongate

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// lossy stands between a client and a server, and loses the reply to one command: the server carries
// it out, and the connection ends.
type lossy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu   sync.Mutex
	lose string
	open []net.Conn
}

func newLossy(t testing.TB, target string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	l := &lossy{listener: listener, target: target}
	l.all.Add(1)
	go func() {
		defer l.all.Done()
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, client, server)
			l.mu.Unlock()
			l.carry(client, server)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		l.mu.Lock()
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.all.Wait()
	})
	return l
}

func (l *lossy) carry(client, server net.Conn) {
	var losing bool
	var mu sync.Mutex
	pass := func(from, to net.Conn, look func(data []byte) (drop bool)) {
		defer l.all.Done()
		defer func() { _, _ = from.Close(), to.Close() }()
		data := make([]byte, 1<<16)
		for {
			n, err := from.Read(data)
			if err != nil || look(data[:n]) {
				return
			}
			if _, err := to.Write(data[:n]); err != nil {
				return
			}
		}
	}
	l.all.Add(2)
	go pass(client, server, func(data []byte) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.lose != "" && bytes.Contains(data, []byte(l.lose)) {
			l.lose = ""
			mu.Lock()
			losing = true
			mu.Unlock()
		}
		return false
	})
	go pass(server, client, func([]byte) bool {
		mu.Lock()
		defer mu.Unlock()
		return losing
	})
}

func (l *lossy) loseNext(command string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = command
}

func TestWhatIsSentAgainWhenAReplyIsLost(t *testing.T) {
	direct := single(t)
	l := newLossy(t, direct.servers.Addr(0))
	p := place{"lossy", direct.servers, closed(t, redis.NewClient(&redis.Options{Addr: l.listener.Addr().String()})), false}
	gate := p.gate(t, Options{})
	_, asksFirst := any(redis.NewCmd(ctx)).(interface{ NoRetry() bool })
	for _, c := range []struct {
		command string
		again   bool
		call    func(token string) error
	}{
		{"PGET", true, func(token string) error { _, err := gate.PGet(ctx, token, "a"); return err }},
		{"PSET", true, func(token string) error { _, err := gate.PSet(ctx, token, "a", []byte("x"), Always); return err }},
		{"PMSET", true, func(token string) error {
			s := load(t, gate, token)
			set(t, s, "a", "x")
			s.Delete("b")
			return s.Save(ctx)
		}},
		{"TOUCH", true, func(token string) error { _, err := gate.Touch(ctx, token, 0); return err }},
		{"ADOPT", true, func(string) error {
			s := load(t, gate, "")
			set(t, s, "a", 1)
			return s.Save(ctx)
		}},
		{"END", false, func(token string) error { return gate.End(ctx, token) }},
		{"PDEL", false, func(token string) error { return gate.PDel(ctx, token, "a") }},
		{"PPOP", false, func(token string) error { _, err := gate.PPop(ctx, token, "a"); return err }},
		{"ROTATE", false, func(token string) error { _, err := gate.Rotate(ctx, token, Rotation{}); return err }},
		{"ROTATE", true, func(token string) error { _, err := gate.Rotate(ctx, token, Rotation{Grace: time.Minute}); return err }},
		{"START", false, func(string) error { _, err := gate.Start(ctx, Life{}); return err }},
		{"PSET", false, func(token string) error { _, err := gate.PSet(ctx, token, "n", []byte("x"), NX); return err }},
		{"PSET", false, func(token string) error {
			_, err := gate.PSet(ctx, token, "a", []byte("x"), IfEqual([]byte("1")))
			return err
		}},
		{"PSET", true, func(token string) error {
			_, err := gate.PSet(ctx, token, "n", []byte("x"), For(time.Hour))
			return err
		}},
		{"PDEL", false, func(token string) error { _, err := gate.PDelIfEqual(ctx, token, "a", []byte("1")); return err }},
		{"PTTL", true, func(token string) error { _, err := gate.PTTL(ctx, token, "a"); return err }},
		{"OSTART", false, func(string) error { _, err := gate.OStart(ctx, ownerOf(t), Life{}); return err }},
		{"OEND", false, func(string) error { _, err := gate.OEnd(ctx, ownerOf(t)); return err }},
		{"OLIST", true, func(string) error { _, err := gate.OList(ctx, ownerOf(t)); return err }},
	} {
		t.Run(fmt.Sprintf("%s again: %v", c.command, c.again), func(t *testing.T) {
			token := p.start(t, gate, Life{Payloads: map[string][]byte{"a": []byte("1"), "b": []byte("2")}})
			field := "cmdstat_sessiongate." + c.command
			before := direct.stat(t, "commandstats", field)
			l.loseNext("SESSIONGATE." + c.command)
			err := c.call(token)
			calls := direct.stat(t, "commandstats", field) - before
			var ours *Error
			if c.again && (err != nil || calls != 2) {
				t.Errorf("sent %d times: %v", calls, err)
			}
			if !c.again && asksFirst && (err == nil || errors.As(err, &ours) || calls != 1) {
				t.Errorf("sent %d times: %v", calls, err)
			}
			if !c.again && !asksFirst && calls != 2 { // go-redis before 9.20 asks no command
				t.Errorf("an old driver sent it %d times: %v", calls, err)
			}
		})
	}
}

func TestAServerThatIsKilledLosesNothingThatWasAnswered(t *testing.T) {
	s := lend.Own(t, "--config", "appendonly=yes", "appendfsync=always")
	p := place{"redis", s, closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(0)})), false}
	gate := p.gate(t, Options{})
	token := stored(t, gate, map[string]any{"start": 0})
	var all sync.WaitGroup
	var mu sync.Mutex
	answered, failed := map[string]bool{}, 0
	stop := make(chan struct{})
	for w := 0; w < 4; w++ {
		all.Add(1)
		go func(w int) {
			defer all.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d.%d", w, i)
				session, err := gate.Session(ctx, token)
				if err == nil {
					if err = session.Set(name, i); err == nil {
						err = session.Save(ctx)
					}
				}
				mu.Lock()
				if err == nil {
					answered[name] = true
				} else {
					failed++
				}
				mu.Unlock()
				var ours *Error
				if errors.As(err, &ours) {
					t.Errorf("the session is said to be lost: %v", err)
				}
			}
		}(w)
	}
	many := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(answered) > n }
	}
	err := lend.Wait(many(100))
	s.Tell(t, "kill 0")
	waited := lend.Wait(func() bool { mu.Lock(); defer mu.Unlock(); return failed > 0 })
	s.Tell(t, "start 0")
	mu.Lock()
	before := len(answered)
	mu.Unlock()
	err = errors.Join(err, waited, lend.Wait(many(before+100)))
	close(stop)
	all.Wait()
	noError(t, err)
	stored := map[string]bool{}
	for _, name := range load(t, gate, token).Names() {
		stored[name] = true
	}
	for name := range answered {
		if !stored[name] {
			t.Errorf("%s was answered, and is lost", name)
		}
	}
}

func TestSentinelLeadsToTheNewMaster(t *testing.T) {
	s := lend.Own(t, "--replicas", "1")
	sentinel := startSentinel(t, s.Nodes[0].Port)
	client := closed(t, redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "sessions", SentinelAddrs: []string{sentinel}}))
	gate, err := New(client, Options{SignKeys: [][]byte{randomKey(t)}})
	noError(t, err)
	token := stored(t, gate, map[string]any{"a": 1})
	noError(t, client.Wait(ctx, 1, 10*time.Second).Err())
	s.Tell(t, "kill 0")
	waitLong(t, func() error { return write(gate, token) })
	if names := load(t, gate, token).Names(); len(names) != 2 {
		t.Errorf("%q", names)
	}
}

// write sets one value more.
func write(gate *Gate, token string) error {
	session, err := gate.Session(ctx, token)
	if err != nil {
		return err
	}
	return errors.Join(session.Set("b", 2), session.Save(ctx))
}

// waitLong waits for up to 40 seconds: a failover takes some.
func waitLong(t *testing.T, call func() error) {
	t.Helper()
	var err error
	for i := 0; i < 4; i++ {
		if lend.Wait(func() bool { err = call(); return err == nil }) == nil {
			return
		}
	}
	t.Fatal(err)
}

// startSentinel starts a Sentinel that watches a master, and returns its address.
func startSentinel(t *testing.T, master int) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	noError(t, listener.Close())
	directory := t.TempDir()
	config := filepath.Join(directory, "sentinel.conf")
	noError(t, os.WriteFile(config, []byte(fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor sessions 127.0.0.1 %d 1
sentinel down-after-milliseconds sessions 300
sentinel failover-timeout sessions 3000
`, port, directory, master)), 0o600))
	process := exec.Command(filepath.Join(lend.Top(), "build", "servers", "redis-bookworm", "bin", "server"), config, "--sentinel")
	noError(t, process.Start())
	t.Cleanup(func() { _, _ = process.Process.Kill(), process.Wait() })
	address := fmt.Sprintf("127.0.0.1:%d", port)
	asked := closed(t, redis.NewClient(&redis.Options{Addr: address}))
	noError(t, lend.Wait(func() bool {
		replicas, err := asked.Do(ctx, "SENTINEL", "REPLICAS", "sessions").Slice()
		return err == nil && len(replicas) == 1
	}))
	return address
}

func TestAClusterThatFailsOverKeepsItsSessions(t *testing.T) {
	s := lend.Own(t, "--cluster", "3", "--replicas", "1")
	client := closed(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: s.Addrs()}))
	gate := place{"cluster", s, client, true}.gate(t, Options{})
	token := stored(t, gate, map[string]any{"a": 1})
	node := int(s.Tell(t, "slot %s", token)["node"].(float64))
	master := closed(t, redis.NewClient(&redis.Options{Addr: s.Addr(node)}))
	noError(t, master.Wait(ctx, 1, 10*time.Second).Err())
	s.Tell(t, "kill %d", node)
	waitLong(t, func() error {
		client.ReloadState(ctx) // by itself the driver looks for the new master once a minute
		return write(gate, token)
	})
	if names := load(t, gate, token).Names(); len(names) != 2 {
		t.Errorf("%q", names)
	}
}
