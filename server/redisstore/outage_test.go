package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/redisstore"
	"github.com/countersign/countersign/server/storetest"
)

// slack is what a busy machine may add to a bound.
const slack = time.Second

func TestOutage(t *testing.T) {
	server := testbed.StartRedis(t)
	for _, tt := range []struct {
		name          string
		breakIt, mend func(*testbed.Proxy)
	}{
		{"refused", (*testbed.Proxy).Refuse, (*testbed.Proxy).Pass},
		{"black-holed", (*testbed.Proxy).BlackHole, (*testbed.Proxy).Pass},
		{"hung", func(*testbed.Proxy) { server.Pause() }, func(*testbed.Proxy) { server.Resume() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy := testbed.StartProxy(t, server.Addr())
			s := open(t, config(t, connect(t, "redis://"+proxy.Addr())))
			key, _ := record(t, s)
			tt.breakIt(proxy)
			for range 3 {
				began := time.Now()
				if find(t, s, key) != nil {
					t.Fatal("a token was found in a broken Redis")
				}
				if took := time.Since(began); took > redisconn.DefaultBudget+slack {
					t.Fatalf("a look-up took %v", took)
				}
			}
			began := time.Now()
			for range 100 {
				find(t, s, key)
				late, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
				s.Remember(late, token)
			}
			if took := time.Since(began); took > redisconn.DefaultBudget+slack {
				t.Fatalf("100 look-ups and records after three failures took %v", took)
			}
			tt.mend(proxy)
			await(t, s, key)
			record(t, s)
		})
	}
}

// TestQueueIsBounded fills the queue while Redis hangs and the breaker still tries.
func TestQueueIsBounded(t *testing.T) {
	server := testbed.StartRedis(t)
	conn, err := redisconn.Open(server.URL(), redisconn.Config{Budget: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	registry := prometheus.NewRegistry()
	cfg := config(t, conn)
	cfg.Registerer = registry
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server.Pause()
	key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	began := time.Now()
	for range 10_000 {
		s.Remember(key, token)
	}
	if took := time.Since(began); took > time.Second {
		t.Fatalf("10,000 records took %v", took)
	}
	if dropped := writes(t, registry, "dropped_full"); dropped < 10_000-4096-2*256 {
		t.Fatalf("%v were dropped", dropped)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- s.Close(ctx) }()
	<-ctx.Done()
	server.Resume() // ends the call that is under way
	if err := <-closed; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Close = %v, want the end of its time", err)
	}
	if total := writes(t, registry, "dropped_full") + writes(t, registry, "dropped_unavailable") + writes(t, registry, "stored"); total != 10_000 {
		t.Fatalf("%v of 10,000 are accounted for", total)
	}
}

// TestCloseFlushes says that what was recorded before Close is in Redis after it.
func TestCloseFlushes(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL())
	s := open(t, config(t, conn))
	key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	for range 1000 {
		s.Remember(storetest.SampleToken(storetest.SampleAPI(), time.Now()))
	}
	s.Remember(key, token)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if find(t, s, key) == nil {
		t.Fatal("the last token is not there")
	}
	s.Remember(storetest.SampleToken(storetest.SampleAPI(), time.Now())) // dropped
	if err := s.Close(t.Context()); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}

// writes returns the count of one outcome.
func writes(t *testing.T, registry *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "countersign_token_store_writes_total" && metric.GetLabel()[0].GetValue() == outcome {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}
