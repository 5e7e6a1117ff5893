package drill

import (
	"testing"
	"time"
)

// at makes a sample of times in milliseconds.
func at(begun, ended int, kind Kind) Sample {
	return Sample{Begun: time.Duration(begun) * time.Millisecond, Ended: time.Duration(ended) * time.Millisecond, Kind: kind}
}

func TestLongestGap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		samples []Sample
		want    time.Duration
	}{
		{name: "nothing sent"},
		{name: "one answer", samples: []Sample{at(0, 5, OK)}, want: 5 * time.Millisecond},
		{name: "nothing is wanted between two", samples: []Sample{at(0, 5, OK), at(1000, 1003, OK)}, want: 5 * time.Millisecond},
		{name: "a failure makes the gap last until the next success", samples: []Sample{at(0, 5, OK), at(100, 110, Unavailable), at(500, 520, OK)}, want: 420 * time.Millisecond},
		{name: "overlapping requests", samples: []Sample{at(0, 300, OK), at(10, 20, OK), at(30, 40, OK), at(290, 310, OK)}, want: 260 * time.Millisecond},
		{name: "never a success", samples: []Sample{at(100, 110, NoAnswer), at(200, 900, Refused)}, want: 800 * time.Millisecond},
		{name: "failing to the end", samples: []Sample{at(0, 10, OK), at(20, 30, ServerError), at(40, 140, ServerError)}, want: 120 * time.Millisecond},
		{name: "what hangs on after the last request", samples: []Sample{at(0, 9000, NoAnswer), at(10, 20, OK), at(30, 40, OK)}, want: 20 * time.Millisecond},
		{name: "out of order", samples: []Sample{at(500, 520, OK), at(100, 110, Unavailable), at(0, 5, OK)}, want: 420 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Record{Samples: tt.samples}).LongestGap(); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestQuantileIsOfSuccesses(t *testing.T) {
	r := Record{}
	for n := range 100 {
		r.Samples = append(r.Samples, at(n*10, n*10+n+1, OK), at(n*10, n*10+5000, NoAnswer))
	}
	if p50, p99 := r.Quantile(0.5), r.Quantile(0.99); p50 != 50*time.Millisecond || p99 != 99*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if got := (Record{}).Quantile(0.5); got != 0 {
		t.Errorf("%v of nothing", got)
	}
}

func TestWithinLeavesOutWhatWasUnderWay(t *testing.T) {
	r := Record{Samples: []Sample{at(90, 110, OK), at(100, 120, Unavailable), at(150, 210, OK), at(300, 310, OK)}}
	if got := r.Within(100*time.Millisecond, 200*time.Millisecond); len(got.Samples) != 1 || got.Samples[0].Kind != Unavailable {
		t.Errorf("%v", got.Samples)
	}
}
