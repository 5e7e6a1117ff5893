package sdkotel

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.opentelemetry.io/otel/metric"
)

// instruments makes instruments and remembers the first thing that went wrong.
type instruments struct {
	meter metric.Meter
	all   []metric.Observable
	err   error
}

func newInstruments(provider metric.MeterProvider) (*instruments, error) {
	if provider == nil {
		return nil, errors.New("the meter provider is nil")
	}
	return &instruments{meter: provider.Meter(scope)}, nil
}

// counter is of what only grows.
func (i *instruments) counter(name, unit, description string) metric.Int64Observable {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(c, err)
	return c
}

// level is of what goes up and down, and may be summed over instances.
func (i *instruments) level(name, unit, description string) metric.Int64Observable {
	l, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(l, err)
	return l
}

func (i *instruments) seconds(name, description string) metric.Float64Observable {
	s, err := i.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
	i.made(s, err)
	return s
}

func (i *instruments) made(instrument metric.Observable, err error) {
	if err != nil && i.err == nil {
		i.err = err
	}
	i.all = append(i.all, instrument)
}

// observe has read be called at each collection. What it returns ends that.
func (i *instruments) observe(read func(metric.Observer)) (stop func() error, err error) {
	if i.err != nil {
		return nil, fmt.Errorf("make instruments: %w", i.err)
	}
	registration, err := i.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		read(to)
		return nil
	}, i.all...)
	if err != nil {
		return nil, fmt.Errorf("register for the collection of metrics: %w", err)
	}
	return registration.Unregister, nil
}

// number is a counter as OpenTelemetry has them.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
