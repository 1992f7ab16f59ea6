// Command bench compares sessions in SessionGate with those of github.com/boj/redistore, on one
// server that it starts: the same handler, called in this process by turns.
//
//	go run . [-rounds 60] [-requests 300]
//
// It prints a table in Markdown. A cell is the CPU time that redistore takes for a request, divided by
// the one that the row takes: the process' own, and the server's. The machine may be busy otherwise:
// the stores take turns, in an order that changes, and each figure is the median of all rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/boj/redistore"
	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
	"github.com/f0rmiga/sessiongate/clients/go/gorilla"
	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"
)

// load is what a handler does with a session of so many values.
type load struct {
	name   string
	values int
	write  bool
}

var loads = []load{
	{"1 value, read", 1, false},
	{"1 value, read and changed", 1, true},
	{"20 values, read", 20, false},
	{"20 values, one changed", 20, true},
}

// app is the handler of one store: it fills a session, reads a value, changes one.
type app struct {
	name string
	fill func(values int) http.Handler
	use  func(write bool) http.Handler
}

func main() {
	rounds := flag.Int("rounds", 60, "how often each store has its turn")
	requests := flag.Int("requests", 300, "how many requests a turn has")
	flag.Parse()
	servers, err := lend.Start()
	check(err)
	defer servers.Close()
	address := servers.Addr(0)
	client := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = client.Close() }()
	gate, err := sessiongate.New(client, sessiongate.Options{SignKeys: [][]byte{[]byte("a sign key of the benchmark")}})
	check(err)

	key := []byte("0123456789abcdef0123456789abcdef")
	plain, err := redistore.NewRediStore(10, "tcp", address, "", "", key)
	check(err)
	unasked, err := redistore.NewRediStoreWithPool(&redigo.Pool{MaxIdle: 10, Dial: func() (redigo.Conn, error) { return redigo.Dial("tcp", address) }}, key)
	check(err)
	apps := []app{
		byGorilla("redistore", plain),
		byGorilla("redistore, without its PING", unasked),
		byGorilla("SessionGate, gorilla", gorilla.NewStore(gate)),
		byHandler("SessionGate, net/http", gate),
	}
	fmt.Printf("| | %s |\n|%s\n", strings.Join(names(loads), " | "), strings.Repeat(" --- |", len(loads)+1))
	cells := make([][]string, len(apps))
	for _, l := range loads {
		for i, cell := range compare(apps, l, *rounds, *requests, client) {
			cells[i] = append(cells[i], cell)
		}
	}
	for i, a := range apps {
		fmt.Printf("| %s | %s |\n", a.name, strings.Join(cells[i], " | "))
	}
}

func names(loads []load) (all []string) {
	for _, l := range loads {
		all = append(all, l.name)
	}
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// byGorilla is a handler as users of gorilla/sessions write it.
func byGorilla(name string, store sessions.Store) app {
	return app{
		name: name,
		fill: func(values int) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := store.Get(r, "session")
				check(err)
				for i := 0; i < values; i++ {
					s.Values[valueName(i)] = valueOf(i)
				}
				check(s.Save(r, w))
			})
		},
		use: func(write bool) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := store.Get(r, "session")
				check(err)
				value, _ := s.Values[valueName(0)].(string)
				if write {
					s.Values[valueName(0)] = next(value)
					check(s.Save(r, w))
				}
				_, _ = w.Write([]byte(value))
			})
		},
	}
}

// byHandler is the same handler inside Gate.Handler.
func byHandler(name string, gate *sessiongate.Gate) app {
	return app{
		name: name,
		fill: func(values int) http.Handler {
			return gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s, err := sessiongate.FromContext(r.Context())
				check(err)
				for i := 0; i < values; i++ {
					check(s.Set(valueName(i), valueOf(i)))
				}
			}))
		},
		use: func(write bool) http.Handler {
			return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := sessiongate.FromContext(r.Context())
				check(err)
				var value string
				_, err = s.Get(valueName(0), &value)
				check(err)
				if write {
					check(s.Set(valueName(0), next(value)))
				}
				_, _ = w.Write([]byte(value))
			}))
		},
	}
}

func valueName(i int) string { return fmt.Sprint("value", i) }
func valueOf(i int) string   { return strings.Repeat("x", 40) + fmt.Sprint(" ", i) }

// next changes the number at the value's end.
func next(value string) string {
	text, number, _ := strings.Cut(value, " ")
	n, _ := strconv.Atoi(number)
	return text + " " + strconv.Itoa((n+1)%1000)
}

// times are what one request of one store takes.
type times struct{ own, server []float64 }

// compare measures all apps by turns, and returns a cell for each.
func compare(apps []app, l load, rounds, requests int, admin *redis.Client) []string {
	measured := make([]times, len(apps))
	handlers, cookies := make([]http.Handler, len(apps)), make([]string, len(apps))
	for i, a := range apps {
		handlers[i] = a.use(l.write)
		cookies[i] = cookieOf(call(a.fill(l.values), ""))
		for n := 0; n < requests; n++ { // warm up
			call(handlers[i], cookies[i])
		}
	}
	for round := 0; round < rounds; round++ {
		for _, i := range rand.Perm(len(apps)) {
			server, own := serverCPU(admin), ownCPU()
			for n := 0; n < requests; n++ {
				call(handlers[i], cookies[i])
			}
			measured[i].own = append(measured[i].own, (ownCPU()-own)/float64(requests))
			measured[i].server = append(measured[i].server, (serverCPU(admin)-server)/float64(requests))
		}
	}
	cells := make([]string, len(apps))
	for i, m := range measured {
		cells[i] = fmt.Sprintf("%.2f, %.2f (%.0f µs, %.0f µs)", ratio(measured[0].own, m.own), ratio(measured[0].server, m.server),
			median(m.own)*1e6, median(m.server)*1e6)
	}
	return cells
}

func call(handler http.Handler, cookie string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func cookieOf(w *httptest.ResponseRecorder) string {
	for _, cookie := range w.Result().Cookies() {
		return cookie.Name + "=" + cookie.Value
	}
	log.Fatal("no cookie was set")
	return ""
}

// ratio is the median of what the first took to what the second took, round by round.
func ratio(first, second []float64) float64 {
	ratios := make([]float64, len(first))
	for i := range first {
		ratios[i] = first[i] / second[i]
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}

// ownCPU is the CPU time of this process in seconds.
func ownCPU() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// serverCPU is the CPU time of the server in seconds.
func serverCPU(admin *redis.Client) (sum float64) {
	text, err := admin.Info(context.Background(), "cpu").Result()
	check(err)
	for _, line := range strings.Split(text, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, err := strconv.ParseFloat(value, 64)
			check(err)
			sum += seconds
		}
	}
	return sum
}
