package sdk_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Whoever invents tokens, without end and more at once than there are introspections, must not keep out those who come with a good token
// for the first time: all wait for their turn.
func TestFloodKeepsNobodyOut(t *testing.T) {
	const attackers, callers = 300, 50
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		s.issuer.Hold(func() time.Duration { return time.Duration(3+rand.IntN(5)) * time.Millisecond }, sdktest.IntrospectionEndpoint)
		inventor := sdktest.New()
		var invented [4 * attackers]string
		for n := range invented {
			invented[n] = inventor.MintOpaque(sdktest.Claims{})
		}
		inventor.Close()
		var flood sync.WaitGroup
		var over atomic.Bool
		var next atomic.Uint64
		for range attackers {
			flood.Go(func() {
				for !over.Load() {
					_, err := s.Verify(t.Context(), invented[next.Add(1)%uint64(len(invented))], sdk.Policy{})
					if outcome(err) == "503" {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		for range callers {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			began := time.Now()
			s.expect(t, "caller", "ok", s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("it took %s", took)
			}
		}
		over.Store(true)
		flood.Wait()
	})
}

// After a restart all callers come for the first time.
func TestManyCallersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		_ = s.Ready(t.Context())
		s.issuer.Slow(5*time.Millisecond, sdktest.IntrospectionEndpoint)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { s.expect(t, "caller", "ok", s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}) })
		}
		all.Wait()
	})
}
