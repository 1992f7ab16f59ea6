// Package lend gives tests real servers with the module, by clients/testing/serve.
package lend

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Servers are servers of one program, on free ports of 127.0.0.1.
type Servers struct {
	Nodes []struct {
		Host string `json:"host"`
		Port int    `json:"port"`
		Pid  int    `json:"pid"`
		Role string `json:"role"`
	} `json:"nodes"`
	Valkey  bool   `json:"valkey"`
	Version string `json:"version"`

	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

// Top is the directory of the repository.
func Top() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "..")
}

// Start starts servers; the arguments are those of clients/testing/serve.
func Start(arguments ...string) (*Servers, error) {
	s := &Servers{process: exec.Command(filepath.Join(Top(), "clients", "testing", "serve"), arguments...)}
	s.process.Stderr = os.Stderr
	var err error
	if s.input, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.output = bufio.NewReader(output)
	if err = s.process.Start(); err != nil {
		return nil, err
	}
	line, err := s.output.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("serve %q: %w", arguments, err)
	}
	return s, nil
}

// Close stops the servers.
func (s *Servers) Close() {
	_ = s.input.Close()
	_ = s.process.Wait()
}

// Tell gives a command to clients/testing/serve, such as "kill 0", and returns its answer.
func (s *Servers) Tell(t testing.TB, format string, arguments ...any) map[string]any {
	t.Helper()
	command := fmt.Sprintf(format, arguments...)
	answer := map[string]any{}
	_, err := fmt.Fprintln(s.input, command)
	if err == nil {
		var line []byte
		if line, err = s.output.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &answer)
		}
	}
	if said, refused := answer["error"]; refused {
		err = fmt.Errorf("%v", said)
	}
	if err != nil {
		t.Fatalf("serve: %s: %v", command, err)
	}
	return answer
}

// Addr is the address of a node.
func (s *Servers) Addr(node int) string {
	return net.JoinHostPort(s.Nodes[node].Host, strconv.Itoa(s.Nodes[node].Port))
}

// Addrs are the addresses of all nodes.
func (s *Servers) Addrs() (all []string) {
	for node := range s.Nodes {
		all = append(all, s.Addr(node))
	}
	return all
}

var (
	shared   = map[string]*Servers{}
	sharedMu sync.Mutex
)

// Shared returns servers that all tests of the package share; Main stops them. A test that kills or
// configures them starts its own, by Own.
func Shared(t testing.TB, arguments ...string) *Servers {
	t.Helper()
	s, err := share(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Address is that of a server that all tests share, for examples.
func Address() string {
	s, err := share()
	if err != nil {
		panic(err)
	}
	return s.Addr(0)
}

func share(arguments ...string) (*Servers, error) {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	key := strings.Join(arguments, " ")
	if shared[key] == nil {
		s, err := Start(arguments...)
		if err != nil {
			return nil, err
		}
		shared[key] = s
	}
	return shared[key], nil
}

// Own starts servers for one test.
func Own(t testing.TB, arguments ...string) *Servers {
	t.Helper()
	s, err := Start(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Main runs the tests of a package. Goroutines that are left behind are a failure, unless their stack
// has one of the texts in others.
func Main(m *testing.M, others ...string) {
	before := len(goroutines(others))
	status := m.Run()
	for _, s := range shared {
		s.Close()
	}
	if status == 0 && Wait(func() bool { return len(goroutines(others)) <= before }) != nil {
		fmt.Printf("goroutines are left behind:\n%s\n", strings.Join(goroutines(others), "\n\n"))
		status = 1
	}
	os.Exit(status)
}

// goroutines are the stacks of all goroutines but others.
func goroutines(others []string) (stacks []string) {
	all := make([]byte, 1<<22)
next:
	for _, stack := range strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n") {
		for _, other := range others {
			if strings.Contains(stack, other) {
				continue next
			}
		}
		stacks = append(stacks, stack)
	}
	return stacks
}

// Wait calls condition until it holds, for at most ten seconds.
func Wait(condition func() bool) error {
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("after 10 s there is still not what was waited for")
		}
	}
	return nil
}
