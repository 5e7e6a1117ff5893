package lb_test

import (
	"testing"

	"github.com/countersign/countersign/lb"
)

func TestFailoverStaysWhereItIs(t *testing.T) {
	one, two, three := new(lb.Upstream), new(lb.Upstream), new(lb.Upstream)
	var policy lb.Failover
	for i, tt := range []struct {
		from []*lb.Upstream
		want *lb.Upstream
	}{
		{[]*lb.Upstream{one, two, three}, one},
		{[]*lb.Upstream{one, two, three}, one},
		{[]*lb.Upstream{two, three}, two},
		{[]*lb.Upstream{one, two, three}, two}, // the first is back
		{[]*lb.Upstream{one, three}, one},
	} {
		if got := policy.Pick("", tt.from); got != tt.want {
			t.Errorf("pick %d is another upstream", i)
		}
	}
}
