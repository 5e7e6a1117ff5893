package registry

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/countersign/countersign/server/auth"
)

// AuditReport is what checking the audit log found.
type AuditReport struct {
	Events int64  // how many were checked
	From   uint64 // number of the first that is to be there; those before it were removed by retention
	To     uint64 // number of the last; below From if there is none
	OK     bool
	Broken []AuditDefect // in order, at most MaxAuditDefects
	Note   string        // what could not be checked; empty: nothing
}

// AuditDefect is a place where the audit log does not hold.
type AuditDefect struct {
	Number uint64 // of the event
	What   string
}

// MaxAuditDefects bounds how many defects a report names.
const MaxAuditDefects = 100

const auditPage = 1000

// VerifyAudit checks the audit log from its floor to its head against the chain of HMACs, in one snapshot and in bounded memory. It finds
// whatever was changed, removed, added, renumbered or reordered by somebody who does not have the audit key. That the end was cut
// off together with the row of the head is found only with upTo, a head that was exported before. It needs audit:read; a log that
// does not hold is no error but a report.
func (r *Registry) VerifyAudit(ctx context.Context, actor auth.Actor, upTo *auth.AuditHead) (report *AuditReport, err error) {
	err = r.readAudit(ctx, actor, func(log auth.Audit) error {
		v := verification{keys: r.AuditKeys(), upTo: upTo}
		report, err = v.run(ctx, log)
		return err
	})
	return report, err
}

// verification is one run through the log.
type verification struct {
	keys   *auth.AuditKeys
	upTo   *auth.AuditHead
	floor  auth.AuditHead
	report AuditReport
	// last is the number and chain value of the event before. trusted is false if that event is missing.
	last    auth.AuditHead
	trusted bool
}

func (v *verification) run(ctx context.Context, log auth.Audit) (*AuditReport, error) {
	var err error
	if v.floor, err = log.AuditFloor(ctx); err != nil {
		return nil, err
	}
	head, err := log.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	v.report.OK, v.report.From = true, v.floor.Number+1
	v.begin()
	for after := uint64(0); ; { // from the very first: what lies below the floor must be gone
		page, err := log.ListEvents(ctx, auth.AuditQuery{After: after, Limit: auditPage})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			v.check(e)
			after = e.Number
		}
		if len(page) < auditPage {
			break
		}
	}
	v.report.To = v.last.Number
	v.end(head)
	return &v.report, nil
}

func (v *verification) broken(number uint64, format string, args ...any) {
	v.report.OK = false
	if len(v.report.Broken) < MaxAuditDefects {
		v.report.Broken = append(v.report.Broken, AuditDefect{number, fmt.Sprintf(format, args...)})
	}
}

// begin looks at the checkpoint and at the exported head.
func (v *verification) begin() {
	v.last, v.trusted = v.floor, true
	if v.floor.Number > 0 && !v.keys.FloorSealed(&v.floor) {
		v.trusted = false
		v.broken(v.floor.Number, "the checkpoint up to which old events are said to be removed bears no valid seal: no server of this database wrote it")
	}
	if v.upTo != nil && !v.keys.Sealed(v.upTo) {
		v.broken(v.upTo.Number, "the head that was given bears no valid seal: no server of this database gave it out")
		v.upTo = nil
	}
	if v.upTo != nil && v.upTo.Number < v.floor.Number {
		v.report.Note = fmt.Sprintf("the given head is that of event %d; events up to %d were removed by retention, so there is nothing to compare it with",
			v.upTo.Number, v.floor.Number)
	}
	if v.upTo != nil && v.upTo.Number == v.floor.Number && v.upTo.Chain != v.floor.Chain {
		v.broken(v.floor.Number, "the checkpoint is not the event that the given head names: the log was rewritten")
	}
}

// check looks at the next event that is there.
func (v *verification) check(e *auth.AuditEvent) {
	switch {
	case e.Number <= v.floor.Number && v.floor.Chain == e.Chain && e.Chain == [sha256.Size]byte{}:
		return // from before the chain began
	case e.Number <= v.floor.Number:
		v.report.Events++
		v.broken(e.Number, "the event is there although the checkpoint %d says that it was removed: the checkpoint or the event is false", v.floor.Number)
		return
	case e.Number > v.last.Number+1:
		v.gone(v.last.Number+1, e.Number-1)
		v.trusted = false
	}
	v.report.Events++
	if v.trusted && !v.keys.Linked(v.last.Chain, e) {
		v.broken(e.Number, "the event does not fit behind the one before it: it was changed, put in, or stands in another's place")
	}
	if v.upTo != nil && v.upTo.Number == e.Number && v.upTo.Chain != e.Chain {
		v.broken(e.Number, "the event is not the one that the given head names: the log was rewritten")
	}
	v.last, v.trusted = auth.AuditHead{Number: e.Number, Chain: e.Chain}, true
}

func (v *verification) gone(from, to uint64) {
	if from == to {
		v.broken(from, "the event is missing; what follows it cannot be joined to what was before")
		return
	}
	v.broken(from, "the events %d to %d are missing; what follows them cannot be joined to what was before", from, to)
}

// end compares the last event with where the log says it ends.
func (v *verification) end(head auth.AuditHead) {
	switch {
	case head.Number > v.last.Number:
		v.gone(v.last.Number+1, head.Number)
	case head.Number < v.last.Number:
		v.broken(head.Number+1, "the log says that it ends before this event: the row of its head was set back, or events were put in")
	case head.Chain != v.last.Chain:
		v.broken(head.Number, "the row of the log's head does not fit its last event: one of the two was changed")
	}
	if v.upTo != nil && v.upTo.Number > max(head.Number, v.last.Number) {
		v.broken(max(head.Number, v.last.Number)+1, "the given head is that of event %d: the end of the log was cut off", v.upTo.Number)
	}
}
