package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// undoing takes back one thing that was done.
type undoing struct {
	what string
	do   func(ctx context.Context) error
}

// restoreWithin bounds all that is taken back. A part may take half a minute to start.
const restoreWithin = 2 * time.Minute

// later remembers how to take something back. The same thing is remembered once.
func (r *run) later(what string, do func(ctx context.Context) error) {
	r.forget(what)
	r.undo = append(r.undo, undoing{what, do})
}

func (r *run) forget(what string) {
	r.undo = slices.DeleteFunc(r.undo, func(u undoing) bool { return u.what == what })
}

// taken takes one thing back now.
func (r *run) taken(ctx context.Context, what string) error {
	i := slices.IndexFunc(r.undo, func(u undoing) bool { return u.what == what })
	if i < 0 {
		return nil
	}
	if err := r.undo[i].do(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r.forget(what)
	return nil
}

// restore takes everything back, the last first, also when ctx has ended.
func (r *run) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer cancel()
	var errs []error
	for _, u := range slices.Backward(r.undo) {
		if !strings.HasPrefix(u.what, "close ") {
			r.Progress(r.report.Drill + " restores: " + u.what)
		}
		if err := u.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.what, err))
		}
	}
	r.undo = nil
	return errors.Join(errs...)
}
