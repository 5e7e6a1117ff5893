package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"
)

// RedisVariable names the environment variable with the address of a Redis that all test processes
// share: redis://host:port/0. Its logical database 0 is used to share out the others.
const RedisVariable = "COUNTERSIGN_TEST_REDIS"

// redisDatabases is how many logical databases a shared Redis has, and so how many tests of a run may use it.
const redisDatabases = 4096

// RedisServer is a logical database on a Redis that all tests of a run share. Channels are not:
// a message published here reaches every database, so tests of messages use [StartRedis].
type RedisServer struct {
	url string
}

//nolint:gochecknoglobals // one server for all tests of a process is the point
var sharedRedis = sync.OnceValues(func() (string, error) {
	if u, ok := os.LookupEnv(RedisVariable); ok {
		return u, nil
	}
	u, _, err := launchRedis()
	return u, err
})

// launchRedis starts a server that is nobody's in particular.
func launchRedis() (url string, server *instance, err error) {
	dir, err := newFolder("redis")
	if err != nil {
		return "", nil, err
	}
	if server, err = launch(redisEngine("--databases", strconv.Itoa(redisDatabases)), dir); err != nil {
		return "", nil, err
	}
	return redisURL(server.addr()), server, nil
}

// Redis returns an empty logical database of the shared Redis. It is emptied when the test ends.
func Redis(tb testing.TB) *RedisServer {
	tb.Helper()
	u, err := sharedRedis()
	if err != nil {
		tb.Fatal(err)
	}
	opts, err := redis.ParseURL(u)
	if err != nil {
		tb.Fatalf("read %s: %v", RedisVariable, err)
	}
	if opts.DB, err = takeDatabase(tb.Context(), opts); err != nil {
		tb.Fatal(err)
	}
	flush := func(ctx context.Context) {
		client := redis.NewClient(opts)
		if err := errors.Join(client.FlushDB(ctx).Err(), client.Close()); err != nil {
			tb.Errorf("empty Redis database %d: %v", opts.DB, err)
		}
	}
	flush(tb.Context())
	tb.Cleanup(func() { flush(context.Background()) })
	return &RedisServer{url: strings.TrimSuffix(u, "/0") + "/" + strconv.Itoa(opts.DB)}
}

// takeDatabase returns the number of a database that no other test of the run was given.
func takeDatabase(ctx context.Context, opts *redis.Options) (int, error) {
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }() // nothing of it is left to lose
	config, err := client.ConfigGet(ctx, "databases").Result()
	if err != nil || len(config) != 2 {
		return 0, fmt.Errorf("ask Redis how many databases it has: %v, %w", config, err)
	}
	count, err := strconv.ParseInt(fmt.Sprint(config[1]), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("ask Redis how many databases it has: %w", err)
	}
	n, err := client.Incr(ctx, "testbed:taken").Result()
	if err != nil {
		return 0, fmt.Errorf("take a Redis database: %w", err)
	}
	if n >= count {
		return 0, fmt.Errorf("all %d databases of the Redis are taken: start it again", count)
	}
	return int(n), nil
}

// URL returns the address with the number of the database: redis://127.0.0.1:port/N.
func (r *RedisServer) URL() string { return r.url }

// StartRedis starts a Redis of the test's own, which keeps nothing on disk: it is empty after a
// restart unless args, further options of redis-server, say otherwise ("--appendonly", "yes").
func StartRedis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	dir, err := newFolder("redis")
	if err != nil {
		tb.Fatal(err)
	}
	return startServer(tb, redisEngine(args...), dir, redisURL)
}

func redisURL(addr string) string { return "redis://" + addr + "/0" }

func redisEngine(extra ...string) engine {
	return engine{
		program: "redis-server",
		args: func(dir string, port int) []string {
			return append([]string{
				"--bind", "127.0.0.1", "--port", strconv.Itoa(port),
				"--save", "", "--appendonly", "no", "--dir", dir,
			}, extra...)
		},
		probe: probeRedis,
	}
}

// probeRedis accepts a server that asks for a password, and cannot be asked for its process id.
func probeRedis(ctx context.Context, addr, _ string, pid int) error {
	client := redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		},
		MaxRetries: -1,
	})
	defer func() { _ = client.Close() }() // nothing of it is left to lose
	if err := client.Ping(ctx).Err(); err != nil {
		if strings.HasPrefix(err.Error(), "NOAUTH ") {
			return nil
		}
		return err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return fmt.Errorf("%s is another server than process %d", addr, pid)
	}
	return nil
}
