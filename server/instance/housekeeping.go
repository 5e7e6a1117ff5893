package instance

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const (
	maintainEvery = time.Minute
	keysEvery     = time.Hour
	// leastHeadroom is how little room for tokens to come is worth a warning: the longest-lived token must always fit.
	leastHeadroom = auth.MaxLifetime + time.Hour
)

// keepHouse makes and rotates signing keys, makes room in the database and removes what expired, until ctx ends.
func (i *Instance) keepHouse(ctx context.Context) {
	headroom := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_partition_headroom_seconds",
		Help: "How far ahead there are partitions for tokens; 0 where none are needed or another instance makes them.",
	})
	i.metrics.MustRegister(headroom)
	maintain, rotate := time.NewTicker(cmp.Or(i.config.MaintainEvery, maintainEvery)), time.NewTicker(keysEvery)
	defer maintain.Stop()
	defer rotate.Stop()
	i.rotate(ctx)
	i.maintain(ctx, headroom)
	for {
		select {
		case <-ctx.Done():
			return
		case <-maintain.C:
			i.maintain(ctx, headroom)
		case <-rotate.C:
			i.rotate(ctx)
		}
	}
}

func (i *Instance) maintain(ctx context.Context, headroom prometheus.Gauge) {
	i.try(ctx, "maintain the database", func() error {
		now, err := i.clock.read(ctx)
		if err != nil {
			return err
		}
		done, err := i.store.Maintain(ctx, now, i.config.Settings.AuditRetention)
		if err != nil {
			return err
		}
		headroom.Set(done.Headroom.Seconds())
		if done.Held && done.Headroom > 0 && done.Headroom < leastHeadroom {
			i.config.Logger.WarnContext(ctx, "partitions for tokens run out", "headroom", done.Headroom.String())
		}
		return nil
	})
}

func (i *Instance) rotate(ctx context.Context) {
	i.try(ctx, "rotate signing keys", func() error {
		now, err := i.clock.read(ctx)
		if err != nil {
			return err
		}
		// RSA keys take long to make, so the first ones are made here, after the start.
		if err := keys.Ensure(ctx, i.store, i.master, now, auth.Algorithms()...); err != nil {
			return err
		}
		return keys.RotateDue(ctx, i.store, i.master, keys.Schedule{
			Period: i.config.Settings.KeyRotation, Actor: auth.Actor{Name: "schedule"}, Now: now,
		})
	})
}

// try logs the error of work that is done again later anyway.
func (i *Instance) try(ctx context.Context, what string, do func() error) {
	if err := do(); err != nil && !errors.Is(err, context.Canceled) {
		i.config.Logger.ErrorContext(ctx, "housekeeping failed and is tried again", "work", what, "error", err.Error())
	}
}
