package sqlstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	insertProofs = " INTO used_proofs (id, token, expires) VALUES "
	selectProofs = "SELECT id, token FROM used_proofs WHERE id IN ("
	oldProofs    = "SELECT id FROM used_proofs WHERE expires < ? ORDER BY expires LIMIT ?"
	deleteProofs = "DELETE FROM used_proofs WHERE id IN ("
)

// claimed is a proof and the token that it is to get, or got.
type claimed struct {
	key     [32]byte
	token   auth.TokenID
	expires time.Time
}

// UseProofs implements auth.Ledger. The rows name an id that no token has.
func (s *Store) UseProofs(ctx context.Context, uses []auth.ProofUse) (err error) {
	defer count(s.metrics.insert, &err)
	if len(uses) == 0 {
		return nil
	}
	var nobody auth.TokenID
	_, _ = rand.Read(nobody[:]) // never fails: crypto/rand
	wanted := claims(nobody, uses)
	return s.retried(ctx, func() error {
		return s.transaction(ctx, func(t *tx) error {
			replayed, err := t.claim(ctx, wanted)
			if err == nil && replayed != nil {
				return replayed
			}
			return err
		})
	})
}

func claims(token auth.TokenID, uses []auth.ProofUse) []claimed {
	wanted := make([]claimed, len(uses))
	for i, use := range uses {
		wanted[i] = claimed{use.Key, token, use.Expires}
	}
	return wanted
}

// insertProven writes tokens that proofs were used up for, and those proofs, in one transaction.
func (s *Store) insertProven(ctx context.Context, conn connection, tokens []*auth.Token, wanted []claimed) (err error) {
	inner, err := s.begin(ctx, conn)
	if err != nil {
		return err
	}
	defer inner.Rollback() //nolint:errcheck // does nothing after Commit
	t := &tx{Tx: inner, s: s}
	replayed, err := t.claim(ctx, wanted)
	if err != nil {
		return err
	}
	good := tokens
	if replayed != nil {
		good = slices.DeleteFunc(slices.Clone(tokens), func(t *auth.Token) bool { return replayed.Of(t.ID) != nil })
	}
	if len(good) > 0 {
		query, args := insertion(good)
		if _, err := t.exec(ctx, "insert tokens", query, args...); err != nil {
			return err
		}
	}
	if err := s.commit(inner); err != nil {
		return err
	}
	if replayed != nil {
		return replayed
	}
	return nil
}

// claim records proofs for tokens, and says which were used before, nil if none was. What the same token claimed earlier it may claim
// again: an attempt of unknown outcome may have got that far. The keys go in order, so that two instances cannot wait for each other.
func (t *tx) claim(ctx context.Context, wanted []claimed) (replayed *auth.ReplayError, err error) {
	slices.SortFunc(wanted, func(a, b claimed) int { return bytes.Compare(a.key[:], b.key[:]) })
	rows, ids := make([]any, 0, 3*len(wanted)), make([]any, len(wanted))
	for i := range wanted {
		rows = append(rows, wanted[i].key[:], wanted[i].token[:], wanted[i].expires.UnixMicro())
		ids[i] = wanted[i].key[:]
	}
	if _, err := t.exec(ctx, "record proofs", values(t.s.dialect.orIgnore+insertProofs, "(?, ?, ?)", len(wanted)), rows...); err != nil {
		return nil, err
	}
	found, err := list(ctx, t, func(row scanner) (*claimed, error) {
		c := new(claimed)
		return c, row.Scan(fixed(c.key[:]), fixed(c.token[:]))
	}, values(selectProofs, "?", len(ids))+")", ids...)
	if err != nil {
		return nil, err
	}
	holder := make(map[[32]byte]auth.TokenID, len(found))
	for _, c := range found {
		holder[c.key] = c.token
	}
	for _, c := range wanted {
		if holder[c.key] == c.token {
			continue
		}
		if replayed == nil {
			replayed = &auth.ReplayError{}
		}
		replayed.Proofs = append(replayed.Proofs, auth.ReplayedProof{Token: c.token, Key: c.key})
	}
	return replayed, nil
}

// deleteOldProofs removes what would be refused for its age by every clock.
func (s *Store) deleteOldProofs(ctx context.Context, now time.Time) error {
	return s.inSteps(ctx, oldProofs, deleteProofs, now.Add(-skew).UnixMicro())
}
