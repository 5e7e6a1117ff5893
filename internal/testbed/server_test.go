package testbed_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/internal/testbed"
)

func TestMariaDBKeepsDataOverKillAndStop(t *testing.T) {
	t.Parallel()
	server := testbed.StartMariaDB(t)
	db := testbed.OpenMySQL(t, server.URL())
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE kept (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	for id, end := range []func(){server.Kill, server.Stop} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO kept VALUES (?)", id); err != nil {
			t.Fatal(err)
		}
		end()
		if err := db.PingContext(t.Context()); err == nil {
			t.Fatal("the server answers although its process has ended")
		}
		server.Start()
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM kept").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows != id+1 {
			t.Errorf("%d rows after restart %d, want %d", rows, id, id+1)
		}
	}
}

func TestMariaDBTakesOptions(t *testing.T) {
	t.Parallel()
	server := testbed.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=2")
	var flush, charset string
	err := testbed.OpenMySQL(t, server.URL()).QueryRowContext(t.Context(),
		"SELECT @@innodb_flush_log_at_trx_commit, @@character_set_database").Scan(&flush, &charset)
	if err != nil {
		t.Fatal(err)
	}
	if flush != "2" || charset != "utf8mb4" {
		t.Errorf("flush_log_at_trx_commit %s, character set %s; want 2, utf8mb4", flush, charset)
	}
}

func TestPauseHangsQueries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		start func(t *testing.T) (*testbed.Server, func(context.Context) error)
	}{
		{name: "mariadb", start: func(t *testing.T) (*testbed.Server, func(context.Context) error) {
			server := testbed.StartMariaDB(t)
			db := testbed.OpenMySQL(t, server.URL())
			return server, func(ctx context.Context) error {
				_, err := db.ExecContext(ctx, "DO 1")
				return err
			}
		}},
		{name: "redis", start: func(t *testing.T) (*testbed.Server, func(context.Context) error) {
			server := testbed.StartRedis(t)
			client := openRedis(t, server.URL())
			return server, func(ctx context.Context) error { return client.Ping(ctx).Err() }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, query := tt.start(t)
			if err := query(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				server.Pause()
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
				if err := query(ctx); err == nil {
					t.Error("a paused server answered")
				} else if ctx.Err() == nil {
					t.Errorf("a paused server failed at once: %v", err)
				}
				cancel()
				server.Resume()
				if err := query(t.Context()); err != nil {
					t.Errorf("after resume: %v", err)
				}
			}
			server.Pause()
			server.Stop()
		})
	}
}

func TestRedisForgetsUnlessTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want error
	}{
		{name: "by default", want: redis.Nil},
		{name: "append only", args: []string{"--appendonly", "yes", "--appendfsync", "always"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testbed.StartRedis(t, tt.args...)
			client := openRedis(t, server.URL())
			if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
				t.Fatal(err)
			}
			server.Kill()
			server.Start()
			if err := client.Get(t.Context(), "key").Err(); !errors.Is(err, tt.want) {
				t.Errorf("key after a restart: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestMisuseFails(t *testing.T) {
	t.Parallel()
	server := testbed.StartRedis(t)
	_, port, _ := strings.Cut(server.Addr(), ":")
	for _, tt := range []struct {
		name string
		do   func(tb testing.TB)
		want string
	}{
		{name: "ends by itself", want: "redis-server ended by itself", do: func(tb testing.TB) {
			s := testbed.StartRedis(tb)
			openRedis(tb, s.URL()).ShutdownNoSave(tb.Context())
			testbed.Wait(tb, 5*time.Second, func() error {
				if openRedis(tb, s.URL()).Ping(tb.Context()).Err() == nil {
					return errors.New("still there")
				}
				return nil
			})
		}},
		{name: "kill twice", want: "it is not running", do: func(tb testing.TB) {
			s := testbed.StartRedis(tb)
			s.Kill()
			s.Kill()
		}},
		{name: "start twice", want: "it is running", do: func(tb testing.TB) { testbed.StartRedis(tb).Start() }},
		{name: "wrong option", want: "Bad directive", do: func(tb testing.TB) { testbed.StartRedis(tb, "--nonsense", "1") }},
		{name: "port taken", want: "ended while starting", do: func(tb testing.TB) { testbed.StartRedis(tb, "--port", port) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := failures(t, tt.do); !strings.Contains(got, tt.want) {
				t.Errorf("failures %q do not say %q", got, tt.want)
			}
		})
	}
}

func openRedis(tb testing.TB, url string) *redis.Client {
	tb.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	opts.ReadTimeout = 10 * time.Second
	client := redis.NewClient(opts)
	tb.Cleanup(func() { client.Close() })
	return client
}
