//go:build long

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
)

// TestSentinel takes the primary of a Redis that Sentinels watch away, under load, from two servers and a service that reads the token store.
// No request fails or waits for it, and the successor is used without anybody's doing.
func TestSentinel(t *testing.T) {
	redis := testbed.StartSentinel(t)
	seeded := newSeeded(t, "mariadb")
	settings := []string{"token-store=" + redis.URL(), "token-store-direct=true"}
	one := startServer(t, seeded.Settings(settings...)...)
	other := startServer(t, seeded.Settings(append(settings, "issuer="+one.Issuer)...)...)
	api := seeded.API(t, opaqueAPI).ID.String()
	records := openRedis(t, redis.URL())
	verifier := newSDKVerifier(t, one.Issuer, opaqueAPI, seeded.Server, sdk.WithTokenStore(records, api))
	for _, b := range []struct {
		name        string
		strike, end func(*testbed.Server)
	}{
		{"killed", (*testbed.Server).Kill, (*testbed.Server).Start},
		{"hung", (*testbed.Server).Pause, (*testbed.Server).Resume},
	} {
		t.Run(b.name, func(t *testing.T) {
			m, v := startMixed(t, seeded, one, other), startVerifying(t, verifier, one, seeded.Caller)
			m.Await(100, 10)
			t.Logf("before: %s; %s", m.Figures(), v.Figures())
			m.Begin()
			primary, err := redis.Primary()
			if err != nil {
				t.Fatal(err)
			}
			struck := time.Now()
			b.strike(primary)
			noticed := awaitRedis(t, 0, struck, one, other)
			testbed.Wait(t, startWithin, func() error {
				now, err := redis.Primary()
				if err == nil && now == primary {
					err = errors.New("the primary is the one that was struck")
				}
				return err
			})
			failedOver := time.Since(struck)
			hits := verifier.Describe().TokenStore.Hits
			used := awaitRedis(t, 1, struck, one, other)
			testbed.Wait(t, startWithin, func() error {
				if verifier.Describe().TokenStore.Hits == hits {
					return errors.New("the service reads nothing from the token store")
				}
				return nil
			})
			t.Logf("left alone after %v, the Sentinels agree on a successor after %v, servers use it after %v, the service after %v",
				noticed, failedOver.Round(time.Millisecond), used, time.Since(struck).Round(time.Millisecond))
			m.Await(100, 10)
			b.end(primary)
			m.Await(100, 10)
			awaitRedis(t, 1, struck, one, other)
			m.Check(t)
			v.Stop()
			t.Logf("from then on: %s; %s", m.Figures(), v.Figures())
			for what, n := range m.refused {
				t.Errorf("%s: %d answers 503", what, n)
			}
			for what, took := range m.slowest {
				if took > promptly {
					t.Errorf("%s: an answer took %v", what, took)
				}
			}
		})
	}
}

// awaitRedis waits until every server uses Redis, or none does, and returns how long after a time that was.
func awaitRedis(t *testing.T, up int, since time.Time, servers ...*serverProcess) time.Duration {
	t.Helper()
	testbed.Wait(t, startWithin, func() error {
		for _, s := range servers {
			if got := s.metric(t, "countersign_redis_up"); got != up {
				return fmt.Errorf("redis is up: %d, want %d", got, up)
			}
		}
		return nil
	})
	return time.Since(since).Round(time.Millisecond)
}

// verifying is a service that is shown a fresh opaque token again and again.
type verifying struct {
	end     context.CancelFunc
	running sync.WaitGroup
	shown   atomic.Int64
	slowest atomic.Int64 // nanoseconds of a verification
}

func startVerifying(t *testing.T, by *sdk.Verifier, server *serverProcess, c credential) *verifying {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	v := &verifying{end: cancel}
	v.running.Go(func() {
		pace := time.NewTicker(mixedPace)
		defer pace.Stop()
		for ctx.Err() == nil {
			got, err := askToken(ctx, server.URL, c, asking(opaqueAPI, "read"))
			if err == nil && got.Status == http.StatusOK {
				began := time.Now()
				_, err = by.Verify(ctx, got.Text("access_token"), sdk.RequireScope("read"))
				v.slowest.Store(max(v.slowest.Load(), int64(time.Since(began))))
				v.shown.Add(1)
			}
			if (err != nil || got.Status != http.StatusOK) && ctx.Err() == nil {
				t.Errorf("a fresh token: %d, %v", got.Status, err)
			}
			<-pace.C
		}
	})
	t.Cleanup(v.Stop)
	return v
}

// Stop ends it.
func (v *verifying) Stop() {
	v.end()
	v.running.Wait()
}

// Figures tells what happened since the last call.
func (v *verifying) Figures() string {
	return fmt.Sprintf("verification: %d tokens, slowest %v", v.shown.Swap(0), time.Duration(v.slowest.Swap(0)).Round(time.Millisecond))
}
