package sqlstore

import (
	"context"
	"crypto/sha256"

	"github.com/countersign/countersign/server/auth"
)

// Replay implements auth.Replays.
func (t *tx) Replay(ctx context.Context, key [sha256.Size]byte) (*auth.Replay, error) {
	return one(ctx, t, func(row scanner) (*auth.Replay, error) {
		r := &auth.Replay{Key: key}
		return r, row.Scan(fixed(r.Request[:]), &r.Answer, &r.Sealed, &r.At)
	}, "SELECT request, answer, sealed, at FROM replays WHERE id = ?", key[:])
}

// PutReplay implements auth.Replays.
func (t *tx) PutReplay(ctx context.Context, r *auth.Replay) error {
	var sealedAt any
	if r.Sealed != nil {
		sealedAt = r.At
	}
	_, err := t.exec(ctx, "insert replay", "INSERT INTO replays (id, request, answer, sealed, at, sealed_at) VALUES (?, ?, ?, ?, ?, ?)",
		r.Key[:], r.Request[:], r.Answer, r.Sealed, r.At, sealedAt)
	return err
}
