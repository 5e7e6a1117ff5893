package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	selectSecretUses = "SELECT client_id, secret_id, first_used, last_used, source FROM secret_uses "
	selectGrantUses  = "SELECT client_id, api_id, scope, last_used, tokens FROM grant_uses "

	// usesPerInsert keeps an INSERT below SQLite's bound on the parts of a compound SELECT.
	usesPerInsert = 200
)

func scanSecretUse(row scanner) (*auth.ClientSecretUse, error) {
	u := new(auth.ClientSecretUse)
	return u, row.Scan(fixed(u.Client[:]), fixed(u.Secret[:]), micros{&u.First}, micros{&u.Last}, &u.Source)
}

func scanGrantUse(row scanner) (*auth.GrantUse, error) {
	u := new(auth.GrantUse)
	return u, row.Scan(fixed(u.Client[:]), fixed(u.API[:]), &u.Scope, micros{&u.Last}, &u.Tokens)
}

// SecretUses implements auth.Usage.
func (t *tx) SecretUses(ctx context.Context, client auth.ClientID) ([]auth.SecretUse, error) {
	found, err := list(ctx, t, scanSecretUse, selectSecretUses+"WHERE client_id = ? ORDER BY secret_id", client[:])
	if err != nil {
		return nil, err
	}
	uses := make([]auth.SecretUse, len(found))
	for i, u := range found {
		uses[i] = u.SecretUse
	}
	return uses, nil
}

// ClientUse implements auth.Usage.
func (t *tx) ClientUse(ctx context.Context, id auth.ClientID) (time.Time, error) {
	last, err := one(ctx, t, func(row scanner) (*time.Time, error) {
		last := new(time.Time)
		return last, row.Scan(micros{last})
	}, "SELECT MAX(last_used) FROM secret_uses WHERE client_id = ?", id[:])
	if err != nil {
		return time.Time{}, err
	}
	return *last, nil
}

// EachSecretUse implements auth.Usage.
func (t *tx) EachSecretUse(ctx context.Context, do func(auth.ClientID, auth.SecretUse) error) error {
	return each(func(last *auth.ClientSecretUse) ([]*auth.ClientSecretUse, error) {
		if last == nil {
			return list(ctx, t, scanSecretUse, selectSecretUses+"ORDER BY client_id, secret_id LIMIT ?", pageSize)
		}
		return list(ctx, t, scanSecretUse, selectSecretUses+"WHERE client_id >= ? AND (client_id > ? OR secret_id > ?) ORDER BY client_id, secret_id LIMIT ?",
			last.Client[:], last.Client[:], last.Secret[:], pageSize)
	}, func(u *auth.ClientSecretUse) error { return do(u.Client, u.SecretUse) })
}

// GrantUses implements auth.Usage.
func (t *tx) GrantUses(ctx context.Context, client auth.ClientID, do func(auth.GrantUse) error) error {
	return each(func(last *auth.GrantUse) ([]*auth.GrantUse, error) {
		s := t.selection()
		if client != (auth.ClientID{}) {
			s.equal("client_id", client[:])
		}
		if last != nil {
			s.and("client_id >= ? AND (client_id > ? OR api_id > ? OR api_id = ? AND scope > ?)",
				last.Client[:], last.Client[:], last.API[:], last.API[:], last.Scope)
		}
		query := selectGrantUses + s.page([]string{"client_id", "api_id", "scope"}, false, nil, pageSize)
		return list(ctx, t, scanGrantUse, query, s.args...)
	}, func(u *auth.GrantUse) error { return do(*u) })
}

// RecordUses implements auth.UsageLog, in one transaction, so that nothing is counted twice: some thousand uses are enough for one
// call. What was deleted meanwhile is left out.
func (s *Store) RecordUses(ctx context.Context, secrets []auth.ClientSecretUse, grants []auth.GrantUse) (err error) {
	defer count(s.metrics.usage, &err)
	// In one order, so that two instances do not wait for each other.
	secrets = slices.SortedFunc(slices.Values(secrets), func(a, b auth.ClientSecretUse) int {
		return cmp.Or(bytes.Compare(a.Client[:], b.Client[:]), bytes.Compare(a.Secret[:], b.Secret[:]))
	})
	grants = slices.SortedFunc(slices.Values(grants), func(a, b auth.GrantUse) int {
		return cmp.Or(bytes.Compare(a.Client[:], b.Client[:]), bytes.Compare(a.API[:], b.API[:]), strings.Compare(a.Scope, b.Scope))
	})
	for attempt := 1; ; attempt++ {
		err := s.writing(ctx, func(t *tx) error { return t.addUses(ctx, secrets, grants) })
		// What is deleted between the two halves of an INSERT is a conflict. The next attempt does not see it any more.
		if !errors.Is(err, fault.Conflict) || attempt == attempts {
			return err
		}
	}
}

func (t *tx) addUses(ctx context.Context, secrets []auth.ClientSecretUse, grants []auth.GrantUse) error {
	for chunk := range slices.Chunk(secrets, usesPerInsert) {
		if err := t.addSecretUses(ctx, chunk); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(grants, usesPerInsert) {
		if err := t.addGrantUses(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// compound returns n rows of values as a table that can be joined, after its first row, which names the columns.
func compound(first, group string, n int) string {
	return "(" + first + strings.Repeat(" UNION ALL "+group, n-1) + ") u"
}

func (t *tx) addSecretUses(ctx context.Context, uses []auth.ClientSecretUse) error {
	args := make([]any, 0, 5*len(uses))
	for _, u := range uses {
		args = append(args, u.Client[:], u.Secret[:], u.First.UnixMicro(), u.Last.UnixMicro(), u.Source)
	}
	d := &t.s.dialect
	query := "INSERT INTO secret_uses (client_id, secret_id, first_used, last_used, source) " +
		"SELECT s.client_id, s.id, u.first_used, u.last_used, u.source FROM " +
		compound("SELECT ? AS client_id, ? AS secret_id, ? AS first_used, ? AS last_used, ? AS source", "SELECT ?, ?, ?, ?, ?", len(uses)) +
		" JOIN secrets s ON s.client_id = u.client_id AND s.id = u.secret_id WHERE 1 = 1 " + // SQLite wants a WHERE here
		d.orUpdate("client_id, secret_id") +
		"first_used = CASE WHEN " + d.added("first_used") + " < secret_uses.first_used THEN " + d.added("first_used") + " ELSE secret_uses.first_used END, " +
		"source = CASE WHEN " + d.added("last_used") + " >= secret_uses.last_used THEN " + d.added("source") + " ELSE secret_uses.source END, " +
		"last_used = CASE WHEN " + d.added("last_used") + " > secret_uses.last_used THEN " + d.added("last_used") + " ELSE secret_uses.last_used END"
	_, err := t.exec(ctx, "record uses of secrets", query, args...)
	return err
}

func (t *tx) addGrantUses(ctx context.Context, uses []auth.GrantUse) error {
	args := make([]any, 0, 5*len(uses))
	for _, u := range uses {
		args = append(args, u.Client[:], u.API[:], u.Scope, u.Last.UnixMicro(), u.Tokens)
	}
	d := &t.s.dialect
	query := "INSERT INTO grant_uses (client_id, api_id, scope, last_used, tokens) " +
		"SELECT g.client_id, g.api_id, u.scope, u.last_used, u.tokens FROM " +
		compound("SELECT ? AS client_id, ? AS api_id, ? AS scope, ? AS last_used, ? AS tokens", "SELECT ?, ?, ?, ?, ?", len(uses)) +
		" JOIN grants g ON g.client_id = u.client_id AND g.api_id = u.api_id WHERE 1 = 1 " +
		d.orUpdate("client_id, api_id, scope") +
		"last_used = CASE WHEN " + d.added("last_used") + " > grant_uses.last_used THEN " + d.added("last_used") + " ELSE grant_uses.last_used END, " +
		"tokens = grant_uses.tokens + " + d.added("tokens")
	_, err := t.exec(ctx, "record uses of grants", query, args...)
	return err
}
