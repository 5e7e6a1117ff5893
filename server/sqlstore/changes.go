package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const insertChanges = "INSERT INTO changes (sequence, kind, subject, object, audience, at) VALUES "

// rowsPerInsert keeps an INSERT below SQLite's bound on parameters.
const rowsPerInsert = 1000

// values returns head and n groups of placeholders, as an INSERT of n rows has them.
func values(head, group string, n int) string {
	return head + strings.Repeat(group+", ", n-1) + group
}

func scanPosition(row scanner) (*auth.Position, error) {
	p := new(auth.Position)
	return p, row.Scan(&p.Generation, &p.Sequence, &p.Floor)
}

// Position implements auth.Changes.
func (t *tx) Position(ctx context.Context) (auth.Position, error) { return t.position(ctx, "") }

func (t *tx) position(ctx context.Context, lock string) (auth.Position, error) {
	p, err := one(ctx, t, scanPosition, "SELECT generation, sequence, floor FROM change_counter WHERE id = 1"+lock)
	if errors.Is(err, fault.NotFound) {
		return auth.Position{}, unavailable(errors.New("the database was not set up to its end; run: countersign migrate up"))
	}
	if err != nil {
		return auth.Position{}, err
	}
	return *p, nil
}

func scanChange(row scanner) (*auth.Change, error) {
	c := new(auth.Change)
	return c, row.Scan(&c.Sequence, &c.Kind, fixed(c.Subject[:]), fixed(c.Object[:]), &c.Audience, micros{&c.At})
}

// ChangesAfter implements auth.Changes.
func (t *tx) ChangesAfter(ctx context.Context, after uint64, limit int) ([]auth.Change, error) {
	found, err := list(ctx, t, scanChange,
		"SELECT sequence, kind, subject, object, audience, at FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	changes := make([]auth.Change, len(found))
	for i, c := range found {
		changes[i] = *c
	}
	return changes, nil
}

// Append implements auth.Changes. The lock on the counter is held until the transaction ends, so a reader that sees a sequence sees all
// before it.
func (t *tx) Append(ctx context.Context, changes ...auth.Change) error {
	_, err := t.appendChanges(ctx, changes)
	return err
}

// generationGap is how far a new generation's sequence lies above the old one's: no log comes that far within one, and two
// million of them fit into the integers that JSON is safe with.
const generationGap = 1 << 32

// Begin implements auth.Changes.
func (t *tx) Begin(ctx context.Context) error {
	position, err := t.Position(ctx)
	if err != nil {
		return err
	}
	first := position.Sequence + generationGap
	_, err = t.exec(ctx, "begin a new generation",
		"UPDATE change_counter SET generation = ?, sequence = ?, floor = ? WHERE id = 1", newGeneration(), first, first)
	return err
}

// appendChanges returns the sequence of the last change.
func (t *tx) appendChanges(ctx context.Context, changes []auth.Change) (uint64, error) {
	if _, err := t.exec(ctx, "advance the change counter", "UPDATE change_counter SET sequence = sequence + ? WHERE id = 1", len(changes)); err != nil {
		return 0, err
	}
	position, err := t.Position(ctx)
	if err != nil || len(changes) == 0 {
		return position.Sequence, err
	}
	sequence, decisive := position.Sequence-uint64(len(changes)), uint64(0)
	for chunk := range slices.Chunk(changes, rowsPerInsert) {
		args := make([]any, 0, 6*len(chunk))
		for i := range chunk {
			c := &chunk[i]
			if sequence++; c.Decisive() {
				decisive = sequence
			}
			args = append(args, sequence, c.Kind, c.Subject[:], c.Object[:], c.Audience, c.At.UnixMicro())
		}
		if _, err := t.exec(ctx, "insert changes", values(insertChanges, "(?, ?, ?, ?, ?, ?)", len(chunk)), args...); err != nil {
			return 0, err
		}
	}
	if decisive > 0 {
		if _, err := t.exec(ctx, "note the decisive change", "UPDATE change_counter SET decisive = ? WHERE id = 1", decisive); err != nil {
			return 0, err
		}
	}
	return sequence, nil
}
