// Package drill breaks a running system on purpose and measures whether what the design promises for that failure holds: processes
// are killed and stopped, connections lost, keys and secrets changed, under load.
package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/up"
)

// Drill is one failure that is practised.
type Drill struct {
	Name        string
	Does        string // in one line
	Expectation string // what the design promises, in one line
	run         func(ctx context.Context, r *run) error
}

// All returns every drill, in the order in which they are run.
func All() []Drill {
	return []Drill{
		steady(), authOneKilled(), authAllKilled(), hungAuth(), gatewayKilled(), upstreamPartitioned(),
		tokenStoreDown(), databaseDown(), signingKeyRotation(), clientSecretRotation(), revocation(),
	}
}

// Find returns the drills of these names; "all" is every one.
func Find(names ...string) (found []Drill, err error) {
	all := All()
	for _, name := range names {
		if name == "all" {
			return all, nil
		}
		known := len(found)
		var allowed []string
		for _, d := range all {
			allowed = append(allowed, d.Name)
			if d.Name == name {
				found = append(found, d)
			}
		}
		if len(found) == known {
			return nil, fmt.Errorf("there is no drill %q: allowed are all, %s", name, strings.Join(allowed, ", "))
		}
	}
	return found, nil
}

// Config says what to drill, and how.
type Config struct {
	Bootstrap up.Bootstrap // where the system is, and its credentials
	// Ask sends a command to the system's control socket.
	Ask func(ctx context.Context, command string) (up.Answer, error)
	// HoldDatabase takes the write lock of an embedded database until the returned function is called. It is not called if the database is
	// another.
	HoldDatabase func(ctx context.Context) (release func() error, err error)
	For          time.Duration // how long a fault lasts, and the load of a drill without one; 1 s to 1 h
	Outage       time.Duration // how long every auth server is down; 1 s to 1 h
	Rate         int           // requests a second of each load, 1 to 1000
	Trials       int           // how many tokens are revoked, 1 to 1000
	Progress     func(string)  // hears of each step as it happens
	Version      string
}

// Validate checks the bounds.
func (c Config) Validate() error {
	for _, one := range []struct {
		name string
		d    time.Duration
	}{{"for", c.For}, {"outage", c.Outage}} {
		if one.d < time.Second || one.d > time.Hour {
			return fmt.Errorf("--%s is %v: allowed is 1s to 1h", one.name, one.d)
		}
	}
	for _, one := range []struct {
		name string
		n    int
	}{{"rate", c.Rate}, {"trials", c.Trials}} {
		if one.n < 1 || one.n > 1000 {
			return fmt.Errorf("--%s is %d: allowed is 1 to 1000", one.name, one.n)
		}
	}
	return nil
}

// notApplicable says why a drill has nothing to break here.
type notApplicable struct{ why string }

func (e notApplicable) Error() string { return e.why }

// Run carries out one drill and returns what it found. Whatever happens, it restores what it broke, also when ctx ends. A drill that could
// not be carried out has failed. The error says that the system could not be asked, that ctx ended, or what could not be restored.
func Run(ctx context.Context, c Config, d Drill) (report *Report, err error) {
	report = &Report{Drill: d.Name, Does: d.Does, Expectation: d.Expectation}
	r := &run{
		Config: c, report: report, began: time.Now(), quiet: slog.New(slog.DiscardHandler),
		http: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: inFlight, MaxIdleConns: 4 * inFlight},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	defer r.http.CloseIdleConnections()
	defer func() {
		if failed := r.restore(ctx); failed != nil {
			err = errors.Join(err, fmt.Errorf("restore the system: %w", failed))
		}
	}()
	if err := r.look(ctx); err != nil {
		return report, err
	}
	err = d.run(ctx, r)
	if nothing, ok := errors.AsType[notApplicable](err); ok {
		report.Verdict, report.Reason = NotApplicable, nothing.why
		return report, nil
	}
	if err != nil && ctx.Err() != nil {
		return report, fmt.Errorf("drill %s: interrupted before its end", d.Name)
	}
	if err != nil {
		report.Verdict, report.Reason = Fail, err.Error()
		return report, nil
	}
	report.conclude()
	return report, nil
}
