package sdkredis_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdkredis"
)

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		want      string // of String
		fault     string // part of the error
	}{
		{name: "plain", url: "redis://127.0.0.1:6379/3", want: "redis://127.0.0.1:6379/3"},
		{name: "defaults", url: "redis://cache", want: "redis://cache:6379/0"},
		{name: "user and password", url: "redis://alice:s3cr%2Fet@cache:7000/1", want: "redis://cache:7000/1"},
		{name: "password alone", url: "redis://:s3cret@cache", want: "redis://cache:6379/0"},
		{name: "IPv6 without port", url: "redis://[::1]", want: "redis://[::1]:6379/0"},
		{name: "TLS", url: "rediss://cache/2?pool_size=5", want: "rediss://cache:6379/2"},
		{
			name: "Sentinel", url: "redis+sentinel://u:s3cret@a:1,b:2,c/main/4?sentinel_username=x&sentinel_password=s3cret",
			want: "redis+sentinel://a:1,b:2,c:26379/main/4",
		},
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
			s, err := sdkredis.Open(tt.url)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "s3cret") {
					t.Fatalf("error %v, want one with %q and no secret", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, option := range map[string]sdkredis.Option{
		"no budget":     sdkredis.WithBudget(0),
		"long budget":   sdkredis.WithBudget(time.Second + 1),
		"TLS in plain":  sdkredis.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}),
		"no TLS at all": sdkredis.WithTLS(nil),
	} {
		if _, err := sdkredis.Open("redis://cache", option); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("redis://alice:s3cret@cache:7000/1?pool_size=3")
	f.Add("redis+sentinel://a:1,[::1]:2/main/4")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := sdkredis.Open(text)
		if err != nil {
			return
		}
		again, err := sdkredis.Open(s.String())
		if err != nil {
			t.Fatalf("%q is shown as %q, which does not open: %v", text, s, err)
		}
		if s.String() != again.String() {
			t.Fatalf("%q is shown as %q, then as %q", text, s, again)
		}
		_, _ = s.Close(), again.Close()
	})
}
