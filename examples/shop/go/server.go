package main

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
)

var counter = regexp.MustCompile(`(?m)^(process_id|sessiongate_\w+):(\d+)\r?$`)

// counters is what Redis counts of sessions, and the number of its process.
func counters(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	for _, section := range []string{"server", "sessiongate"} {
		info, err := client.Info(ctx, section).Result()
		if err != nil {
			return nil, err
		}
		for _, line := range counter.FindAllStringSubmatch(info, -1) {
			counts[strings.TrimPrefix(line[1], "sessiongate_")], _ = strconv.Atoi(line[2])
		}
	}
	return counts, nil
}

func showServer(r *http.Request, _ *sessiongate.Session, _ object) (any, error) {
	return counters(r.Context())
}

func kill(r *http.Request, _ *sessiongate.Session, _ object) (any, error) {
	runner, err := strconv.Atoi(os.Getenv("RUN_SH_PID"))
	if err != nil {
		return nil, failure{http.StatusNotFound, "only run.sh can start Redis again"}
	}
	before, err := counters(r.Context())
	if err != nil {
		return nil, err
	}
	if err := syscall.Kill(runner, syscall.SIGUSR1); err != nil { // asks run.sh for kill -9 and a start
		return nil, err
	}
	for tries := 0; tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		after, err := counters(r.Context())
		if err == nil && after["process_id"] != before["process_id"] {
			return object{"before": before["process_id"], "after": after["process_id"]}, nil
		}
	}
	return nil, failure{http.StatusServiceUnavailable, "Redis is not back after ten seconds"}
}
