package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

type callerKey struct{}

// What a caller waits for is a part of what the caller does, as its trace tells: the fetch has the values of its context. What is fetched
// in the background is nobody's.
func TestFetchHasTheValuesOfWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callers := make(chan any, 3)
		s := refresh.New(refresh.Config[token]{Fetch: func(ctx context.Context, _ *token) (refresh.Grant[token], error) {
			callers <- ctx.Value(callerKey{})
			return refresh.Grant[token]{Value: new(token), Began: time.Now(), Lifetime: time.Hour}, nil
		}})
		t.Cleanup(s.Close)
		as := func(name string) context.Context { return context.WithValue(t.Context(), callerKey{}, name) }
		first, err := s.Value(as("first"))
		if err != nil {
			t.Fatal(err)
		}
		if got := <-callers; got != "first" {
			t.Errorf("fetched for %v, want the caller who waits", got)
		}
		if _, err := s.Replace(as("refused"), first); err != nil {
			t.Fatal(err)
		}
		if got := <-callers; got != "refused" {
			t.Errorf("replaced for %v, want the caller who waits", got)
		}
		time.Sleep(55 * time.Minute) // stale
		if _, err := s.Value(as("served")); err != nil {
			t.Fatal(err)
		}
		if got := <-callers; got != nil {
			t.Errorf("fetched in the background for %v", got)
		}
	})
}
