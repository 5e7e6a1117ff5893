package lb_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/lb"
)

// upstreamsOf returns upstreams with these weights.
func upstreamsOf(t testing.TB, weights ...int) []*lb.Upstream {
	t.Helper()
	var targets []lb.Target
	for i, weight := range weights {
		targets = append(targets, lb.Target{URL: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: weight})
	}
	all, err := lb.NewUpstreams(targets...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each policy keeps to the weights, within 2 % of the whole, over 100,000 requests by 50 goroutines; RoundRobin knows none.
func TestPoliciesKeepToTheWeights(t *testing.T) {
	const goroutines, each = 50, 2000
	for _, tt := range []struct {
		name    string
		policy  func() lb.Policy
		weights []int
	}{
		{"round robin", func() lb.Policy { return new(lb.RoundRobin) }, []int{1, 1, 1, 1, 1}},
		{"weighted", func() lb.Policy { return new(lb.Weighted) }, []int{1, 1, 1, 1, 1}},
		{"weighted, unequal", func() lb.Policy { return new(lb.Weighted) }, []int{5, 1, 1, 3}},
		{"least requests, all idle", func() lb.Policy { return lb.LeastRequests{} }, []int{1, 1, 1, 1, 1}},
		{"consistent", func() lb.Policy { return lb.Consistent{} }, []int{1, 1, 1, 1, 1}},
		{"consistent, unequal", func() lb.Policy { return lb.Consistent{} }, []int{5, 1, 1, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, policy := upstreamsOf(t, tt.weights...), tt.policy()
			counts := make([][]int, goroutines)
			var running sync.WaitGroup
			for g := range goroutines {
				counts[g] = make([]int, len(from))
				running.Go(func() {
					for n := range each {
						counts[g][slices.Index(from, policy.Pick("key "+strconv.Itoa(g*each+n), from))]++
					}
				})
			}
			running.Wait()
			sum := 0
			for _, weight := range tt.weights {
				sum += weight
			}
			for i, weight := range tt.weights {
				got := 0
				for g := range counts {
					got += counts[g][i]
				}
				want := goroutines * each * weight / sum
				if off := got - want; off < -want/50 || off > want/50 {
					t.Errorf("upstream %d of weight %d: %d requests, want %d", i, weight, got, want)
				}
			}
		})
	}
}

func TestWeightedSpreadsTurns(t *testing.T) {
	from := upstreamsOf(t, 5, 1, 1)
	var policy lb.Weighted
	var turns strings.Builder
	for range 14 {
		turns.WriteByte("abc"[slices.Index(from, policy.Pick("", from))])
	}
	if got := turns.String(); got != "aabacaaaabacaa" {
		t.Errorf("turns %s", got)
	}
}

// An upstream that comes back takes its turns from then on, and has none to catch up with.
func TestWeightedForgivesAbsence(t *testing.T) {
	from := upstreamsOf(t, 1, 1)
	var policy lb.Weighted
	for range 1000 {
		policy.Pick("", from[:1])
	}
	counts := map[*lb.Upstream]int{}
	for range 100 {
		counts[policy.Pick("", from)]++
	}
	if counts[from[1]] < 49 || counts[from[1]] > 51 {
		t.Errorf("%d of 100 turns", counts[from[1]])
	}
}

func TestLeastRequestsAvoidsTheBusy(t *testing.T) {
	from := upstreamsOf(t, 1, 1)
	from[0].SetInFlight(10)
	for range 100 {
		if (lb.LeastRequests{}).Pick("", from) != from[1] {
			t.Fatal("the busier of two was picked")
		}
	}
	heavy := upstreamsOf(t, 10, 1)
	heavy[0].SetInFlight(8) // for its weight that is less than the request that the other would have
	for range 100 {
		if (lb.LeastRequests{}).Pick("", heavy) != heavy[0] {
			t.Fatal("the weight does not count")
		}
	}
	if one := upstreamsOf(t, 1); (lb.LeastRequests{}).Pick("", one) != one[0] {
		t.Error("the only one was not picked")
	}
}

// A key stays where it is as long as its upstream is up, in every order and every process; those of one that is down are spread.
func TestConsistentMovesNoOtherKeys(t *testing.T) {
	const keys = 10000
	all := upstreamsOf(t, 1, 1, 1, 1, 1)
	again := upstreamsOf(t, 1, 1, 1, 1, 1)
	slices.Reverse(again)
	gone := all[2]
	left := slices.Concat(all[:2], all[3:])
	spread := map[*lb.Upstream]int{}
	for n := range keys {
		key := "client " + strconv.Itoa(n)
		home := (lb.Consistent{}).Pick(key, all)
		if other := (lb.Consistent{}).Pick(key, again); other.Address() != home.Address() {
			t.Fatalf("%s is at %s here and at %s there", key, home.Address(), other.Address())
		}
		now := (lb.Consistent{}).Pick(key, left)
		if home != gone && now != home {
			t.Fatalf("%s moved from %s to %s, both of which are up", key, home.Address(), now.Address())
		}
		if home == gone {
			spread[now]++
		}
	}
	for _, u := range left {
		if n := spread[u]; n < keys/5/4*8/10 || n > keys/5/4*12/10 {
			t.Errorf("%s took over %d keys of about %d", u.Address(), n, keys/5)
		}
	}
}

func TestConsistentWithoutKeySpreads(t *testing.T) {
	from := upstreamsOf(t, 1, 1)
	counts := map[*lb.Upstream]int{}
	for range 1000 {
		counts[(lb.Consistent{}).Pick("", from)]++
	}
	if counts[from[0]] < 400 || counts[from[0]] > 600 {
		t.Errorf("%v", counts[from[0]])
	}
}

func BenchmarkPick(b *testing.B) {
	from := upstreamsOf(b, 1, 2, 3, 4, 5)
	for name, policy := range map[string]lb.Policy{
		"round robin": new(lb.RoundRobin), "weighted": new(lb.Weighted), "least requests": lb.LeastRequests{}, "consistent": lb.Consistent{},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policy.Pick("a client", from)
			}
		})
	}
}
