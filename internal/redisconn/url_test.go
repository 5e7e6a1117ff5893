package redisconn_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/redisconn"
)

func TestOpenAddress(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		want      string // of String
		fault     string // part of the error
	}{
		{name: "plain", url: "redis://127.0.0.1:6379/3", want: "redis://127.0.0.1:6379/3"},
		{name: "defaults", url: "redis://cache", want: "redis://cache:6379/0"},
		{name: "user and password", url: "redis://alice:s3cr%2Fet@cache:7000/1", want: "redis://cache:7000/1"},
		{name: "password alone", url: "redis://:s3cret@cache", want: "redis://cache:6379/0"},
		{name: "IPv6", url: "redis://[::1]:7000", want: "redis://[::1]:7000/0"},
		{name: "IPv6 without port", url: "redis://[::1]", want: "redis://[::1]:6379/0"},
		{name: "TLS", url: "rediss://cache/2?pool_size=5", want: "rediss://cache:6379/2"},
		{
			name: "Sentinel", url: "redis+sentinel://u:s3cret@a:1,b:2,c/main/4?sentinel_username=x&sentinel_password=s3cret",
			want: "redis+sentinel://a:1,b:2,c:26379/main/4",
		},
		{name: "Sentinel without database", url: "redis+sentinel://a/main", want: "redis+sentinel://a:26379/main/0"},
		{name: "cluster", url: "redis+cluster://:s3cret@a,b", fault: "redis+cluster:// is not supported: the client library cannot read"},
		{name: "no scheme", url: "s3cret@cache:6379", fault: "must begin with redis://"},
		{name: "unknown scheme", url: "http://:s3cret@cache", fault: "allowed are redis://, rediss:// and redis+sentinel://"},
		{name: "unknown option", url: "redis://:s3cret@cache?db=3", fault: `option "db" is unknown; allowed are pool_size`},
		{name: "Sentinel's option elsewhere", url: "redis://a?sentinel_password=s3cret", fault: `option "sentinel_password" is unknown`},
		{name: "bad option", url: "redis://:s3cret@cache?pool_size=0", fault: `pool_size "0": must be 1 to 1000`},
		{name: "bad query", url: "redis://cache?pool_size=%zz", fault: "percent-encoded"},
		{name: "user without password", url: "redis://s3cret@cache", fault: "a user needs a password"},
		{name: "slash in password", url: "redis://u:s3cret/x@cache:1", fault: "a host must be written"},
		{name: "bad escape in password", url: "redis://u:s3cret%zz@cache:1", fault: "percent-encoded"},
		{name: "no host", url: "redis:///1", fault: "a host must be written"},
		{name: "bad port", url: "redis://cache:s3cret", fault: "a host must be written"},
		{name: "several hosts", url: "redis://a,b", fault: "takes one host"},
		{name: "bad database", url: "redis://:s3cret@cache/s3cret", fault: "number of the database"},
		{name: "Sentinel without name", url: "redis+sentinel://:s3cret@a:1", fault: "needs the name of the primary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := redisconn.Open(tt.url, redisconn.Config{})
			if tt.fault != "" {
				if err == nil {
					t.Fatalf("opened %v, want an error with %q", conn, tt.fault)
				}
				if !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "s3cret") {
					t.Fatalf("error %q, want one with %q and no secret", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("redis://alice:s3cret@cache:7000/1?pool_size=3")
	f.Add("redis+sentinel://a:1,[::1]:2/main/4")
	f.Fuzz(func(t *testing.T, text string) {
		conn, err := redisconn.Open(text, redisconn.Config{})
		if err != nil {
			return
		}
		again, err := redisconn.Open(conn.String(), redisconn.Config{})
		if err != nil {
			t.Fatalf("%q is shown as %q, which does not open: %v", text, conn, err)
		}
		if conn.String() != again.String() {
			t.Fatalf("%q is shown as %q, then as %q", text, conn, again)
		}
		_, _ = conn.Close(), again.Close()
	})
}
