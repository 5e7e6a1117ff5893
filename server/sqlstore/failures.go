package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

const (
	failuresPerClient = 100    // that are kept; of the ids that name no client, together, as many
	failuresInAll     = 10_000 // that are kept

	selectFailures = "SELECT at, client, reason, source, request, number FROM auth_failures "
	insertFailures = "INSERT INTO auth_failures (at, client, reason, source, request, number) VALUES "
)

func scanFailure(row scanner) (*auth.Failure, error) {
	f := new(auth.Failure)
	return f, row.Scan(micros{&f.At}, fixed(f.Client[:]), &f.Reason, &f.Source, &f.Request, &f.Count)
}

// ListFailures implements auth.Audit.
func (t *tx) ListFailures(ctx context.Context, client *auth.ClientID, limit int) ([]*auth.Failure, error) {
	if client == nil {
		return list(ctx, t, scanFailure, selectFailures+"ORDER BY at DESC, id DESC LIMIT ?", limit)
	}
	return list(ctx, t, scanFailure, selectFailures+"WHERE client = ? ORDER BY at DESC, id DESC LIMIT ?", client[:], limit)
}

// RecordFailures implements auth.UsageLog.
func (s *Store) RecordFailures(ctx context.Context, failures []auth.Failure) (err error) {
	defer count(s.metrics.usage, &err)
	var clients []auth.ClientID
	for i := range failures {
		clients = append(clients, failures[i].Client)
	}
	slices.SortFunc(clients, func(a, b auth.ClientID) int { return slices.Compare(a[:], b[:]) })
	clients = slices.Compact(clients)
	return s.writing(ctx, func(t *tx) error {
		for chunk := range slices.Chunk(failures, rowsPerInsert) {
			args := make([]any, 0, 6*len(chunk))
			for i := range chunk {
				f := &chunk[i]
				args = append(args, f.At.UnixMicro(), f.Client[:], f.Reason, f.Source, f.Request, f.Count)
			}
			if _, err := t.exec(ctx, "insert failures", values(insertFailures, "(?, ?, ?, ?, ?, ?)", len(chunk)), args...); err != nil {
				return err
			}
		}
		for _, client := range clients {
			if err := t.trimFailures(ctx, "client = ? AND ", failuresPerClient, client[:]); err != nil {
				return err
			}
		}
		return t.trimFailures(ctx, "", failuresInAll)
	})
}

// trimFailures removes the oldest failures that a condition selects until no more than keep are left. That is as many as were written
// just now.
func (t *tx) trimFailures(ctx context.Context, condition string, keep int, args ...any) error {
	var at, id int64
	err := t.QueryRowContext(ctx, "SELECT at, id FROM auth_failures WHERE "+condition+"1 = 1 ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?",
		append(slices.Clip(args), keep)...).Scan(&at, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return t.s.failed("count failures", err)
	}
	_, err = t.exec(ctx, "delete old failures", "DELETE FROM auth_failures WHERE "+condition+"at <= ? AND (at < ? OR id <= ?)",
		append(slices.Clip(args), at, at, id)...)
	return err
}
