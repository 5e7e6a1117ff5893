package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	selectCounter = "SELECT sequence, decisive FROM change_counter WHERE id = 1"
	selectRows    = "SELECT jti, client, credential, api, scope, issued, expires, revision, proof, confirmation, lineage FROM tokens "
	insertRows    = "INSERT INTO tokens (jti, client, credential, api, scope, issued, expires, revision, proof"
	// What most tokens have none of takes no part in a batch that has none of it.
	strongFields = ", confirmation, lineage"
	rowFields    = 9
)

// errLogWentBack is the answer to a token that no revocation to come would refuse.
var errLogWentBack = errors.New("the change log is behind what was decided from it: the database was restored")

// InsertTokens implements auth.Ledger, for at most 2900 tokens, or 3600 of which none is bound or derived. The INSERT is a transaction of its own, and the counter is read by a
// statement before it. Without a lock on the counter it makes no difference whether a transaction spans both: the
// counter may move before the commit either way, and the revocations that moved it then refuse the token.
func (s *Store) InsertTokens(ctx context.Context, tokens []*auth.Token, retry bool) (err error) {
	defer count(s.metrics.insert, &err)
	if len(tokens) == 0 {
		return nil
	}
	conn, err := s.acquire(ctx, s.write)
	if err != nil {
		return err
	}
	defer conn.release(&err)
	if !retry {
		return s.retried(ctx, func() error { return s.insertTokens(ctx, conn, tokens) })
	}
	for attempt := 1; ; attempt++ {
		missing, err := s.missing(ctx, conn, tokens)
		if err != nil || len(missing) == 0 {
			return err
		}
		// The statement whose outcome is unknown may still be running: its commit then comes between these two.
		err = s.retried(ctx, func() error { return s.insertTokens(ctx, conn, missing) })
		if !errors.Is(err, fault.Conflict) || attempt == attempts {
			return err
		}
	}
}

func (s *Store) insertTokens(ctx context.Context, conn connection, tokens []*auth.Token) error {
	sequence, decisive, err := s.counter(ctx, conn)
	if err != nil {
		return err
	}
	var proofs []claimed
	for _, t := range tokens {
		if t.Revision < decisive {
			return &auth.StaleError{Sequence: decisive}
		}
		if t.Revision > sequence {
			return unavailable(errLogWentBack)
		}
		if len(t.Uses) > 0 {
			proofs = append(proofs, claims(t.ID, t.Uses)...)
		}
	}
	if len(proofs) > 0 {
		return s.insertProven(ctx, conn, tokens, proofs)
	}
	query, args := insertion(tokens)
	if err := s.whileBusy(ctx, conn.since, func() error { return conn.execKept(ctx, query, named(args)) }); err != nil {
		return s.failedWrite("insert tokens", err)
	}
	return nil
}

// counter reads the newest change, and the newest that can alter what is issued.
func (s *Store) counter(ctx context.Context, conn connection) (sequence, decisive uint64, err error) {
	var both [2]driver.Value
	err = conn.rowKept(ctx, selectCounter, both[:])
	for i, into := range []*uint64{&sequence, &decisive} {
		if n, ok := both[i].(int64); ok && n >= 0 {
			*into = uint64(n)
		} else if err == nil {
			err = fmt.Errorf("a %T where a count belongs", both[i])
		}
	}
	if err != nil {
		return 0, 0, s.failed("read the change counter", err)
	}
	return sequence, decisive, nil
}

// insertion returns the INSERT of rows, and its arguments.
func insertion(tokens []*auth.Token) (query string, args []any) {
	strong := slices.ContainsFunc(tokens, func(t *auth.Token) bool { return t.Confirmation.Bound() || !t.Lineage.Empty() })
	args = make([]any, 0, (rowFields+2)*len(tokens))
	for _, t := range tokens {
		args = append(args, t.ID[:], t.Client[:], t.Credential[:], t.API[:], t.Scope, t.Issued.UnixMicro(), t.Expires.UnixMicro(),
			int64(t.Revision), orNull(t.Proof[:])) //nolint:gosec // it is at most the change log's, a signed column
		if strong {
			args = append(args, confirmationColumn(&t.Confirmation), lineageColumn(&t.Lineage))
		}
	}
	if strong {
		return values(insertRows+strongFields+") VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", len(tokens)), args
	}
	return values(insertRows+") VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?)", len(tokens)), args
}

// missing returns the tokens that have no row, or fault.Conflict if one has a row that is not equal.
func (s *Store) missing(ctx context.Context, conn connection, tokens []*auth.Token) ([]*auth.Token, error) {
	ids := make([]any, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID[:]
	}
	rows, err := conn.QueryContext(ctx, values(selectRows+"WHERE jti IN (", "?", len(ids))+")", ids...)
	if err != nil {
		return nil, s.failed("select tokens", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	stored := make(map[auth.TokenID]*auth.Token)
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, s.failed("select tokens", err)
		}
		stored[t.ID] = t
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("select tokens", err)
	}
	for _, t := range tokens {
		if there := stored[t.ID]; there != nil && !sameRow(there, t) {
			return nil, fault.Wrap(fault.Conflict, "it exists already", fmt.Errorf("token %s has another row", t.ID))
		}
	}
	return slices.DeleteFunc(slices.Clone(tokens), func(t *auth.Token) bool { return stored[t.ID] != nil }), nil
}

func sameRow(a, b *auth.Token) bool {
	return a.Client == b.Client && a.Credential == b.Credential && a.API == b.API && a.Scope == b.Scope && a.Issued.Equal(b.Issued) &&
		a.Expires.Equal(b.Expires) && a.Revision == b.Revision && a.Proof == b.Proof && a.Confirmation == b.Confirmation && lineageColumn(&a.Lineage) == lineageColumn(&b.Lineage)
}

func scanToken(row scanner) (*auth.Token, error) {
	t := new(auth.Token)
	return t, row.Scan(fixed(t.ID[:]), fixed(t.Client[:]), fixed(t.Credential[:]), fixed(t.API[:]), &t.Scope, micros{&t.Issued},
		micros{&t.Expires}, &t.Revision, fixed(t.Proof[:]), confirmation{&t.Confirmation}, lineage{&t.Lineage})
}

// ClientTokens implements auth.Ledger.
func (s *Store) ClientTokens(ctx context.Context, client auth.ClientID, after auth.TokenID, limit int) ([]*auth.Token, error) {
	of := &selection{dialect: &s.dialect}
	of.lead("client", client[:])
	query := of.page([]string{"jti"}, false, []any{after[:]}, limit)
	return s.tokens(ctx, query, of.args...)
}

// EachToken implements auth.Ledger. It reads some tokens at a time: those that are issued or removed meanwhile may be among them or not.
func (s *Store) EachToken(ctx context.Context, after auth.TokenID, do func(*auth.Token) error) error {
	return each(func(last *auth.Token) ([]*auth.Token, error) {
		if last != nil {
			after = last.ID
		}
		return s.tokens(ctx, "WHERE jti > ? ORDER BY jti LIMIT ?", after[:], pageSize)
	}, do)
}

func (s *Store) tokens(ctx context.Context, which string, args ...any) (found []*auth.Token, err error) {
	defer count(s.metrics.token, &err)
	err = s.view(ctx, func(t *tx) error {
		found, err = list(ctx, t, scanToken, selectRows+which, args...)
		return err
	})
	return found, err
}

// Token implements auth.Ledger.
func (s *Store) Token(ctx context.Context, id auth.TokenID) (t *auth.Token, err error) {
	defer count(s.metrics.token, &err)
	conn, err := s.acquire(ctx, s.read)
	if err != nil {
		return nil, err
	}
	defer conn.release(&err)
	t, err = scanToken(conn.QueryRowContext(ctx, selectRows+"WHERE jti = ?", id[:]))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errNotFound()
	case err != nil:
		return nil, s.failed("select token", err)
	}
	return t, nil
}
