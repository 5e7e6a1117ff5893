package lb_test

import (
	"testing"

	"github.com/countersign/countersign/internal/statuspage"
	"github.com/countersign/countersign/lb"
)

func TestStatusSection(t *testing.T) {
	s := lb.StatusSection([]lb.PoolStatus{
		{Name: "a", Policy: "weighted", Upstreams: []lb.Status{
			{Address: "http://one", Healthy: true, Weight: 2},
			{Address: "http://two", LastError: "refused"},
			{Address: "http://three", Healthy: true, Ejected: true},
			{Address: "http://spared", Healthy: true, Breaker: "open"},
			{Address: "http://four", Healthy: true, Drained: true},
			{Address: "http://five", Healthy: true, Leaving: true},
		}},
		{Name: "b", Retired: true, Upstreams: []lb.Status{{Address: "http://six", Healthy: true}}},
		{Name: "c", LookUpError: "no such host"},
	})
	want := []string{"up", "down", "ejected", "breaker open", "drained", "leaving", "retired", "no upstreams"}
	if len(s.Rows) != len(want) {
		t.Fatalf("%v", s.Rows)
	}
	for n, row := range s.Rows {
		if state, _ := row[3].(statuspage.State); state.Text != want[n] || len(row) != len(s.Columns) {
			t.Errorf("%v, want %s", row, want[n])
		}
	}
}
