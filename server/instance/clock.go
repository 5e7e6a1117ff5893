package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// watch compares this server's clock with the database's. What has expired, and so is forgotten for good, is told by a clock.
type watch struct {
	now      func() time.Time
	database func(context.Context) (time.Time, error)
	skew     prometheus.Gauge
	wrong    atomic.Pointer[fault.Error] // what the last comparison found
}

func newWatch(c Config, database func(context.Context) (time.Time, error), registerer prometheus.Registerer) *watch {
	if c.DatabaseClock != nil {
		database = c.DatabaseClock
	}
	return &watch{now: c.Now, database: database, skew: promauto.With(registerer).NewGauge(prometheus.GaugeOpts{
		Name: "countersign_clock_skew_seconds",
		Help: "How far this server's clock was ahead of the database's when they were last compared; negative: behind.",
	})}
}

// read returns the time if it is within auth.MaxSkew of the database's. It is the one that was compared: to read the clock again
// would be to believe it.
func (w *watch) read(ctx context.Context) (time.Time, error) {
	own, began := w.now(), time.Now()
	shared, err := w.database(ctx)
	if err != nil {
		return time.Time{}, err
	}
	uncertain := time.Since(began) / 2
	own = own.Add(uncertain)
	skew := own.Sub(shared)
	w.skew.Set(skew.Seconds())
	if skew.Abs()-uncertain <= auth.MaxSkew {
		w.wrong.Store(nil)
		return own, nil
	}
	const layout = "2006-01-02T15:04:05.000Z07:00"
	wrong := fault.New(fault.Unavailable, fmt.Sprintf("this server's clock says %s and the database's %s: they may differ by %v; see to NTP on both machines",
		own.UTC().Format(layout), shared.UTC().Format(layout), auth.MaxSkew))
	w.wrong.Store(wrong)
	return time.Time{}, wrong
}

// ready says what was wrong with the clock when it was last compared.
func (w *watch) ready() error {
	if wrong := w.wrong.Load(); wrong != nil {
		return wrong
	}
	return nil
}

// steady returns a clock that starts at a time and does not follow the system's when that is set.
func steady(start time.Time) func() time.Time {
	began := time.Now()
	return func() time.Time {
		passed := time.Since(began)
		return start.Add(passed)
	}
}
