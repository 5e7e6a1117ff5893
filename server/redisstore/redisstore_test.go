package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/redisstore"
	"github.com/countersign/countersign/server/storetest"
)

func connect(t *testing.T, url string) *redisconn.Conn {
	t.Helper()
	conn, err := redisconn.Open(url, redisconn.Config{Probe: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return conn
}

// config is that of a store which knows one API.
func config(t *testing.T, conn *redisconn.Conn) redisstore.Config {
	keys := goldenKeys(t, 1, 2)
	return redisstore.Config{
		Redis: conn, Issuer: goldenIssuer, Keys: func() *redisstore.Keys { return keys },
		Audience: func(id auth.APIID) (string, bool) { return goldenAudience, id == storetest.SampleAPI() },
	}
}

func open(t *testing.T, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("direct=%v", direct), func(t *testing.T) {
			storetest.RunTokenStore(t, func(t *testing.T, now func() time.Time) auth.TokenStore {
				cfg := config(t, connect(t, testbed.Redis(t).URL()))
				cfg.Direct, cfg.Now = direct, now
				return open(t, cfg)
			})
		})
	}
}

// record makes a token and waits until s finds it.
func record(t *testing.T, s *redisstore.Store) (auth.TokenKey, *auth.Token) {
	t.Helper()
	key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	s.Remember(key, token)
	await(t, s, key)
	return key, token
}

// Who wants to know what became of a token hears it once: recorded, or why it is not.
func TestRememberThen(t *testing.T) {
	proxy := testbed.StartProxy(t, testbed.StartRedis(t).Addr())
	s := open(t, config(t, connect(t, "redis://"+proxy.Addr())))
	told := make(chan error, 2)
	remember := func(change func(*auth.Token)) error {
		key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
		change(token)
		s.RememberThen(key, token, func(err error) { told <- err })
		select {
		case err := <-told:
			if found := find(t, s, key) != nil; found != (err == nil) {
				t.Errorf("found: %v, told %v", found, err)
			}
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is told")
			return nil
		}
	}
	if err := remember(func(*auth.Token) {}); err != nil {
		t.Errorf("told %v", err)
	}
	for name, change := range map[string]func(*auth.Token){
		"expired":  func(token *auth.Token) { token.Expires = time.Now().Add(-time.Second) },
		"no API":   func(token *auth.Token) { token.API = auth.APIID{9} },
		"of a JWT": func(token *auth.Token) { token.Key = auth.KeyID{1} },
	} {
		if err := remember(change); err == nil {
			t.Errorf("%s: told that it is recorded", name)
		}
	}
	proxy.Refuse()
	if err := remember(func(*auth.Token) {}); err == nil {
		t.Error("without Redis: told that it is recorded")
	}
	if len(told) != 0 {
		t.Error("told twice")
	}
}

func await(t *testing.T, s *redisstore.Store, key auth.TokenKey) {
	t.Helper()
	testbed.Wait(t, 5*time.Second, func() error {
		if find(t, s, key) == nil {
			return errors.New("the token is not found")
		}
		return nil
	})
}

func find(t *testing.T, s *redisstore.Store, key auth.TokenKey) *auth.Token {
	return s.Lookup(t.Context(), key, []auth.APIID{storetest.SampleAPI()})
}

// TestForgedRecords writes to Redis as one who owns it: nothing that a server did not write for this very key is believed.
func TestForgedRecords(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL())
	s := open(t, config(t, conn))
	key, _ := record(t, s)
	other, _ := record(t, s)
	name := func(k auth.TokenKey) string { return redisstore.RedisKey(storetest.SampleAPI(), k) }
	genuine, err := conn.Get(t.Context(), name(key))
	if err != nil || genuine == nil {
		t.Fatalf("record = %q, %v", genuine, err)
	}
	put := func(at string, record []byte) {
		t.Helper()
		if err := conn.Set(t.Context(), at, record, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for i := range genuine {
		forged := append([]byte(nil), genuine...)
		forged[i] ^= 0x10
		put(name(key), forged)
		if got := find(t, s, key); got != nil {
			t.Fatalf("believed a record with byte %d changed: %+v", i, got)
		}
	}
	put(name(other), genuine)
	if got := find(t, s, other); got != nil {
		t.Fatalf("believed the record of another token: %+v", got)
	}
	stranger := auth.APIID{15: 99}
	put(redisstore.RedisKey(stranger, key), genuine)
	if got := s.Lookup(t.Context(), key, []auth.APIID{stranger}); got != nil {
		t.Fatalf("believed the record of another API: %+v", got)
	}
	put(name(key), genuine)
	if find(t, s, key) == nil {
		t.Fatal("the genuine record is a miss: the test shows nothing")
	}
}

// TestReaders reads one record as servers that differ in one setting.
func TestReaders(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL())
	key, token := record(t, open(t, config(t, conn)))
	for _, tt := range []struct {
		name   string
		change func(*redisstore.Config)
		want   bool
	}{
		{"same", func(*redisstore.Config) {}, true},
		{"direct", func(c *redisstore.Config) { c.Direct = true }, true},
		{"new key made", func(c *redisstore.Config) { c.Keys = fixed(goldenKeys(t, 1, 2, 3)) }, true},
		{"its key removed", func(c *redisstore.Config) { c.Keys = fixed(goldenKeys(t, 1, 3)) }, false},
		{"no keys yet", func(c *redisstore.Config) { c.Keys = fixed(nil) }, false},
		{"another issuer", func(c *redisstore.Config) { c.Issuer = "https://other.example" }, false},
		{"another audience", func(c *redisstore.Config) {
			c.Audience = func(auth.APIID) (string, bool) { return "https://renamed.example", true }
		}, false},
		{"API unknown", func(c *redisstore.Config) { c.Audience = func(auth.APIID) (string, bool) { return "", false } }, false},
		{"expired", func(c *redisstore.Config) { c.Now = func() time.Time { return token.Expires } }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t, conn)
			tt.change(&cfg)
			if got := find(t, open(t, cfg), key) != nil; got != tt.want {
				t.Errorf("found = %v, want %v", got, tt.want)
			}
		})
	}
}

func fixed(keys *redisstore.Keys) func() *redisstore.Keys {
	return func() *redisstore.Keys { return keys }
}

func TestWhichAPIs(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := config(t, connect(t, testbed.Redis(t).URL()))
	cfg.Registerer = registry
	s := open(t, cfg)
	key, token := record(t, s)
	many := []auth.APIID{token.API, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}}
	for _, tt := range []struct {
		name string
		apis []auth.APIID
		want bool
	}{
		{"none", nil, false},
		{"the API", many[:1], true},
		{"another API", many[1:2], false},
		{"eight, the API last", append(many[1:8:8], token.API), true},
		{"more than eight", many, false},
	} {
		if got := s.Lookup(t.Context(), key, tt.apis) != nil; got != tt.want {
			t.Errorf("%s: found = %v, want %v", tt.name, got, tt.want)
		}
	}
	jwtKey, jwt := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	jwt.Key = auth.KeyID{1}
	s.Remember(jwtKey, jwt)
	record(t, s)
	if find(t, s, jwtKey) != nil {
		t.Error("a JWT was recorded")
	}
	unknown, stray := storetest.SampleToken(auth.APIID{42}, time.Now())
	s.Remember(unknown, stray)
	record(t, s)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP countersign_token_store_writes_total Tokens for the shared token store by outcome: stored, dropped_full, dropped_unavailable, dropped_unfit.
		# TYPE countersign_token_store_writes_total counter
		countersign_token_store_writes_total{outcome="dropped_unfit"} 1
		countersign_token_store_writes_total{outcome="stored"} 3
	`), "countersign_token_store_writes_total"); err != nil {
		t.Error(err)
	}
}

// TestNoUsableToken says that what lies in Redis cannot be presented.
func TestNoUsableToken(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL())
	cfg := config(t, conn)
	cfg.Direct = true
	s := open(t, cfg)
	_, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	text, proof := auth.MintOpaque(token.ID)
	token.Proof = proof
	s.Remember(auth.KeyOf(text), token)
	await(t, s, auth.KeyOf(text))
	name := redisstore.RedisKey(token.API, auth.KeyOf(text))
	value, err := conn.Get(t.Context(), name)
	if err != nil || value == nil {
		t.Fatal(value, err)
	}
	stored := name + string(value)
	if strings.Contains(stored, text[len(text)-49:]) || strings.Contains(stored, string(proof[:])) {
		t.Fatal("the secret part of the token or its proof lies in Redis")
	}
}

func TestNewRefuses(t *testing.T) {
	good := config(t, connect(t, testbed.Redis(t).URL()))
	for name, change := range map[string]func(*redisstore.Config){
		"no Redis":    func(c *redisstore.Config) { c.Redis = nil },
		"no issuer":   func(c *redisstore.Config) { c.Issuer = "" },
		"long issuer": func(c *redisstore.Config) { c.Issuer = strings.Repeat("x", 1<<16) },
		"no audience": func(c *redisstore.Config) { c.Audience = nil },
		"no keys":     func(c *redisstore.Config) { c.Keys = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := redisstore.New(cfg); err == nil {
			t.Errorf("%s: a store was made", name)
		}
	}
	if _, err := redisstore.NewKeys(map[uint32][]byte{0: make([]byte, 32)}, nil); err == nil {
		t.Error("a key of version 0 was taken")
	}
	if _, err := redisstore.NewKeys(map[uint32][]byte{1: make([]byte, 31)}, nil); err == nil {
		t.Error("a short MAC key was taken")
	}
}
