package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	eventColumns = "number, id, at, actor_client, actor_credential, actor_name, source, request, action, target, changes, chain"
	selectEvents = "SELECT " + eventColumns + " FROM audit_events "
	insertEvents = "INSERT INTO audit_events (" + eventColumns + ", target_id) VALUES "
	eventGroup   = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	eventFields  = 13

	// clockMargin is by how much two events may be out of order: more than clocks may differ and calls may take.
	clockMargin = 2*auth.MaxSkew + 8*time.Minute
)

var errNoAuditKeys = errors.New("the audit log cannot be written before its keys are known")

// Chain sets the keys of the audit chain, also while calls are under way. Until it is called, nothing can be recorded.
func (s *Store) Chain(keys *auth.AuditKeys) { s.auditKeys.Store(keys) }

func (s *Store) chainKeys() (*auth.AuditKeys, error) {
	if keys := s.auditKeys.Load(); keys != nil {
		return keys, nil
	}
	return nil, errNoAuditKeys
}

// Record implements auth.Audit.
func (t *tx) Record(ctx context.Context, events ...auth.AuditEvent) error {
	all := make([]*auth.AuditEvent, len(events))
	for i := range events {
		all[i] = &events[i]
	}
	return t.recordAll(ctx, all)
}

// recordAll chains the events to the log and writes them. The transaction holds the lock on the change counter.
func (t *tx) recordAll(ctx context.Context, events []*auth.AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	keys, err := t.s.chainKeys()
	if err != nil {
		return err
	}
	head, err := t.checkpoint(ctx, selectHead)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(events, rowsPerInsert) {
		args := make([]any, 0, eventFields*len(chunk))
		for _, event := range chunk {
			e := *event
			e.Number = head.Number + 1
			head.Number, head.Chain = e.Number, keys.Link(head.Chain, &e)
			id, _, _ := strings.Cut(e.Target, "/")
			args = append(args, e.Number, e.ID[:], e.At.UnixMicro(), e.Actor.Client[:], e.Actor.Credential[:], e.Actor.Name, e.Actor.Source,
				e.Actor.Request, e.Action, e.Target, e.Changes, slices.Clone(head.Chain[:]), id)
		}
		if _, err := t.exec(ctx, "insert audit events", values(insertEvents, eventGroup, len(chunk)), args...); err != nil {
			return err
		}
	}
	_, err = t.exec(ctx, "move the head of the audit log", "UPDATE audit_head SET number = ?, chain = ? WHERE id = 1", head.Number, head.Chain[:])
	return err
}

func scanEvent(row scanner) (*auth.AuditEvent, error) {
	e := new(auth.AuditEvent)
	return e, row.Scan(&e.Number, fixed(e.ID[:]), micros{&e.At}, fixed(e.Actor.Client[:]), fixed(e.Actor.Credential[:]), &e.Actor.Name,
		&e.Actor.Source, &e.Actor.Request, &e.Action, &e.Target, &e.Changes, fixed(e.Chain[:]))
}

// Event implements auth.Audit.
func (t *tx) Event(ctx context.Context, id auth.EventID) (*auth.AuditEvent, error) {
	return one(ctx, t, scanEvent, selectEvents+"WHERE id = ?", id[:])
}

// ListEvents implements auth.Audit. Of several filters the one that is listed first here leads.
func (t *tx) ListEvents(ctx context.Context, q auth.AuditQuery) ([]*auth.AuditEvent, error) {
	s := t.selection()
	by := s.lead
	if q.Target != "" {
		id, _, whole := strings.Cut(q.Target, "/")
		if by("target_id", id); whole {
			s.equal("target", q.Target)
		}
		by = s.equal
	}
	if q.Actor != (auth.ClientID{}) {
		by("actor_client", q.Actor[:])
		by = s.equal
	}
	if q.Action != "" {
		by("action", q.Action)
	}
	if err := t.between(ctx, s, q.From, q.Until); err != nil {
		return nil, err
	}
	var at []any
	if q.After > 0 {
		at = []any{q.After}
	}
	query := selectEvents + s.page([]string{"number"}, q.Descending, at, q.Limit)
	return list(ctx, t, scanEvent, query, s.args...)
}

// between selects by time. Numbers and times of events are nearly in the same order, so that a time beyond the margin bounds the
// numbers too: the index that is in order of numbers answers alone.
func (t *tx) between(ctx context.Context, s *selection, from, until time.Time) error {
	if !from.IsZero() {
		s.and("at >= ?", from.UnixMicro())
		last, err := t.number(ctx, "SELECT number FROM audit_events WHERE at < ? ORDER BY at DESC, number DESC LIMIT 1", from.Add(-clockMargin))
		switch {
		case err == nil:
			s.and("number > ?", last)
		case !errors.Is(err, sql.ErrNoRows):
			return t.s.failed("find the first event", err)
		}
	}
	if !until.IsZero() {
		s.and("at < ?", until.UnixMicro())
		first, err := t.number(ctx, "SELECT number FROM audit_events WHERE at >= ? ORDER BY at, number LIMIT 1", until.Add(clockMargin))
		switch {
		case err == nil:
			s.and("number < ?", first)
		case !errors.Is(err, sql.ErrNoRows):
			return t.s.failed("find the last event", err)
		}
	}
	return nil
}

// number returns the error of the driver.
func (t *tx) number(ctx context.Context, query string, at time.Time) (number uint64, err error) {
	err = t.QueryRowContext(ctx, query, at.UnixMicro()).Scan(&number)
	return number, err
}

const (
	selectHead  = "SELECT number, chain, chain FROM audit_head WHERE id = 1"
	selectFloor = "SELECT number, chain, seal FROM audit_floor WHERE id = 1"
)

// checkpoint reads the head or the floor of the audit log.
func (t *tx) checkpoint(ctx context.Context, query string) (*auth.AuditHead, error) {
	found, err := one(ctx, t, func(row scanner) (*auth.AuditHead, error) {
		h := new(auth.AuditHead)
		return h, row.Scan(&h.Number, fixed(h.Chain[:]), fixed(h.Seal[:]))
	}, query)
	if errors.Is(err, fault.NotFound) {
		return nil, unavailable(errors.New("the audit log has no beginning; run: countersign migrate up"))
	}
	return found, err
}

// AuditHead implements auth.Audit.
func (t *tx) AuditHead(ctx context.Context) (auth.AuditHead, error) {
	keys, err := t.s.chainKeys()
	if err != nil {
		return auth.AuditHead{}, err
	}
	head, err := t.checkpoint(ctx, selectHead)
	if err != nil {
		return auth.AuditHead{}, err
	}
	keys.Seal(head)
	return *head, nil
}

// AuditFloor implements auth.Audit. Where the chain begins, nothing was cut: that checkpoint is sealed here. To write such a one
// gains nobody anything, since the event behind it would have to be chained to nothing.
func (t *tx) AuditFloor(ctx context.Context) (auth.AuditHead, error) {
	floor, err := t.checkpoint(ctx, selectFloor)
	if err != nil {
		return auth.AuditHead{}, err
	}
	if floor.Chain == ([sha256.Size]byte{}) {
		keys, err := t.s.chainKeys()
		if err != nil {
			return auth.AuditHead{}, err
		}
		keys.SealFloor(floor)
	}
	return *floor, nil
}
