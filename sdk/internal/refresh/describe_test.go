package refresh_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lifetime: 100 * time.Second}
		s := i.source(t)
		expect := func(phase refresh.Phase, refreshing bool, waiting int) {
			t.Helper()
			synctest.Wait()
			state := s.Describe()
			if state.Phase != phase || state.Refreshing != refreshing || state.Waiting != waiting {
				t.Errorf("%s, refreshing %v, %d waiting; want %s, %v, %d",
					state.Phase, state.Refreshing, state.Waiting, phase, refreshing, waiting)
			}
		}
		expect(refresh.None, false, 0)
		go func() { _, _ = s.Value(t.Context()) }()
		expect(refresh.None, true, 1)
		time.Sleep(time.Second)
		expect(refresh.Fresh, false, 0)
		time.Sleep(79 * time.Second)
		expect(refresh.Stale, false, 0)
		i.fail(errDown)
		value(t, s)
		expect(refresh.Stale, true, 0)
		time.Sleep(20*time.Second + time.Millisecond)
		expect(refresh.Expired, true, 0)
		time.Sleep(10 * time.Second)
		expect(refresh.Expired, false, 0)

		state := s.Describe()
		if state.Hits != 1 || state.Refreshes != 1 || state.Failures < 2 || !errors.Is(state.Failure, errDown) {
			t.Errorf("%d hits, %d refreshes, %d failures, last %v", state.Hits, state.Refreshes, state.Failures, state.Failure)
		}
	})
}

func BenchmarkValue(b *testing.B) {
	for _, tt := range []struct {
		name     string
		parallel int
	}{
		{"a goroutine per processor", 1},
		{"8 goroutines per processor", 8},
	} {
		b.Run(tt.name, func(b *testing.B) {
			i := &issuer{lifetime: time.Hour}
			s := i.source(b)
			value(b, s)
			b.ReportAllocs()
			b.SetParallelism(tt.parallel)
			ctx := b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Value(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
