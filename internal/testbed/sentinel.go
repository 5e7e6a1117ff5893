//go:build long

package testbed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-redis/redis/v8"
)

// primaryName is what the Sentinels call the Redis that they watch.
const primaryName = "primary"

// Watched is a Redis with two replicas and the three Sentinels that make one of those its successor. It belongs to one test.
type Watched struct {
	Redis     []*Server // the first is the primary at first
	Sentinels []*Server

	tb testing.TB
}

// StartSentinel starts them, and returns when the replicas are up to date and the Sentinels know of each other and of them. A Redis that
// was silent for a second is taken to be down.
func StartSentinel(tb testing.TB) *Watched {
	tb.Helper()
	w := &Watched{tb: tb, Redis: []*Server{StartRedis(tb)}}
	host, port, err := net.SplitHostPort(w.Redis[0].Addr())
	if err != nil {
		tb.Fatal(err)
	}
	for range 2 {
		w.Redis = append(w.Redis, StartRedis(tb, "--replicaof", host, port))
	}
	config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 10000\n", primaryName, host, port)
	for range 3 {
		dir, err := newFolder("sentinel")
		if err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, "sentinel.conf") // a Sentinel writes into it what it learns
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			tb.Fatal(err)
		}
		w.Sentinels = append(w.Sentinels, startServer(tb, sentinelEngine(), dir, redisURL))
	}
	Wait(tb, startPatience, w.whole)
	return w
}

func sentinelEngine() engine {
	return engine{
		program: "redis-server",
		args: func(dir string, port int) []string {
			return []string{filepath.Join(dir, "sentinel.conf"), "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir}
		},
		probe: probeRedis,
	}
}

// URL returns the address that Countersign is configured with: that of the Sentinels.
func (w *Watched) URL() string {
	addresses := make([]string, len(w.Sentinels))
	for i, s := range w.Sentinels {
		addresses[i] = s.Addr()
	}
	return "redis+sentinel://" + strings.Join(addresses, ",") + "/" + primaryName + "/0"
}

// Primary returns the Redis that a majority of the Sentinels names.
func (w *Watched) Primary() (*Server, error) {
	named := map[string]int{}
	for _, s := range w.Sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
		found, err := client.GetMasterAddrByName(w.tb.Context(), primaryName).Result()
		if err := errors.Join(err, client.Close()); err != nil {
			return nil, fmt.Errorf("ask a Sentinel: %w", err)
		}
		named[net.JoinHostPort(found[0], found[1])]++
	}
	for _, r := range w.Redis {
		if named[r.Addr()] > len(w.Sentinels)/2 {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the Sentinels do not agree: %v", named)
}

// whole returns nil when each Sentinel could make a successor, and knows of both replicas.
func (w *Watched) whole() error {
	for _, s := range w.Sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
		quorum := client.CkQuorum(w.tb.Context(), primaryName).Err()
		replicas, err := client.Slaves(w.tb.Context(), primaryName).Result()
		if err := errors.Join(quorum, err, client.Close()); err != nil {
			return fmt.Errorf("ask a Sentinel: %w", err)
		}
		up := 0
		for _, r := range replicas {
			if strings.Contains(fmt.Sprint(r), "master-link-status ok") {
				up++
			}
		}
		if up != len(w.Redis)-1 {
			return fmt.Errorf("a Sentinel knows %d replicas that are up to date", up)
		}
	}
	return nil
}
