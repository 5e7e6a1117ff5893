package sqlstore

import (
	"context"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Maintain implements auth.Ledger.
func (s *Store) Maintain(context.Context, time.Time) (auth.Maintenance, error) {
	return auth.Maintenance{}, nil
}
