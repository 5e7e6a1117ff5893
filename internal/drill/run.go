package drill

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/up"
)

// run is a drill under way.
type run struct {
	Config

	report *Report
	began  time.Time
	system up.Answer // as it was at the start
	http   *http.Client
	quiet  *slog.Logger
	undo   []undoing
}

// elapsed is the time since the start.
func (r *run) elapsed() time.Duration { return time.Since(r.began) }

// step records what is done or seen.
func (r *run) step(format string, args ...any) {
	s := Step{At: r.elapsed().Seconds(), What: fmt.Sprintf(format, args...)}
	r.report.Steps = append(r.report.Steps, s)
	r.Progress(fmt.Sprintf("%s %5.1fs  %s", r.report.Drill, s.At, s.What))
}

// check records whether a promise was kept.
func (r *run) check(checks ...Check) { r.report.Checks = append(r.report.Checks, checks...) }

// look wants a system that is whole.
func (r *run) look(ctx context.Context) (err error) {
	if r.system, err = r.Ask(ctx, "status"); err != nil {
		return err
	}
	var broken []string
	for _, p := range r.system.Parts {
		if p.State != "running" {
			broken = append(broken, fmt.Sprintf("%s is %s", p.Name, p.State))
		}
	}
	for _, f := range r.system.Faults {
		if f.Mode != "pass" {
			broken = append(broken, fmt.Sprintf("the fault proxy %s is set to %s", f.Name, f.Mode))
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("the system is not whole, so a drill would prove nothing: %s; `countersign up start PART` and `up fault NAME pass` mend that", strings.Join(broken, ", "))
	}
	return nil
}

// part returns one part.
func (r *run) part(name string) (up.PartStatus, error) {
	for _, p := range r.system.Parts {
		if p.Name == name {
			return p, nil
		}
	}
	return up.PartStatus{}, notApplicable{"the running system has no part " + name}
}

// instances returns the parts whose names begin so, such as "auth-".
func (r *run) instances(prefix string) (found []up.PartStatus) {
	for _, p := range r.system.Parts {
		if strings.HasPrefix(p.Name, prefix) {
			found = append(found, p)
		}
	}
	return found
}

// hasFault tells whether the system runs with this fault proxy.
func (r *run) hasFault(name string) bool {
	return slices.ContainsFunc(r.system.Faults, func(f up.FaultStatus) bool { return f.Name == name })
}

// down ends or hangs a part ("kill" or "pause"). It is started again at the end, if bring did not do so.
func (r *run) down(ctx context.Context, how, part string) error {
	if _, err := r.part(part); err != nil {
		return err
	}
	if _, err := r.Ask(ctx, how+" "+part); err != nil {
		return err
	}
	r.later("start "+part, func(ctx context.Context) error { return r.startPart(ctx, part) })
	r.step("%s %s (%s)", how, part, map[string]string{"kill": "SIGKILL", "pause": "SIGSTOP"}[how])
	return nil
}

// bring starts a part again, or lets it go on, and waits until it is ready.
func (r *run) bring(ctx context.Context, part string) error {
	r.step("start %s", part)
	if err := r.taken(ctx, "start "+part); err != nil {
		return err
	}
	r.step("%s is ready", part)
	return nil
}

func (r *run) startPart(ctx context.Context, name string) error {
	if _, err := r.Ask(ctx, "start "+name); err != nil {
		return err
	}
	part, err := r.part(name)
	if err != nil {
		return err
	}
	return r.until(ctx, 30*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		got := r.get(ctx, part.Ready)
		if got.Kind != OK {
			return fmt.Errorf("%s is not ready: %s", name, got)
		}
		return nil
	})
}

// fault sets a fault proxy. It passes everything again at the end.
func (r *run) fault(ctx context.Context, name, mode string) error {
	if _, err := r.Ask(ctx, "fault "+name+" "+mode); err != nil {
		return err
	}
	undo := "fault " + name + " pass"
	if mode != "pass" {
		r.later(undo, func(ctx context.Context) error { _, err := r.Ask(ctx, undo); return err })
	} else {
		r.forget(undo)
	}
	r.step("fault proxy %s: %s", name, mode)
	return nil
}

// pass lets time go by, unless ctx ends.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	case <-timer.C:
		return nil
	}
}

// until asks condition again and again until it returns nil, and returns its last error if that takes too long.
func (r *run) until(ctx context.Context, most time.Duration, condition func(ctx context.Context) error) error {
	const again = 20 * time.Millisecond
	deadline := time.Now().Add(most)
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still so after %v: %w", most, err)
		}
		if err := pass(ctx, again); err != nil {
			return err
		}
	}
}
