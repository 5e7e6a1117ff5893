package sqlstore_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// The sizes of a big deployment.
const (
	manyClients = 10_000
	manyAPIs    = 500
	manyGrants  = 50_000
	manyTokens  = 30_000
	manyEvents  = 30_000
	owners      = 40
	// busy is how much belongs to the one client, and to the one API, that has much more than others.
	busyGrants = 5_000
	busyTokens = 10_000
)

// big is what a big database holds.
type big struct {
	db      *sql.DB
	clients []auth.ClientID // the first one is busy
	apis    []auth.APIID    // so is the first one
	secrets []auth.SecretID // one of each client, made with the secret of the client before
	tokens  []auth.TokenID
	// some uses of secrets and grants that exist
	secretUses []auth.ClientSecretUse
	grantUses  []auth.GrantUse
	now        time.Time
	random     *rand.Rand
}

func name(i int) string { return fmt.Sprintf("service-%05d", i*7919%manyClients) }

func owner(i int) string { return fmt.Sprintf("team-%02d", i*31%owners) }

// fill makes a database big. It is written without the store, which would take minutes.
func fill(tb testing.TB, db *sql.DB) *big {
	tb.Helper()
	b := &big{db: db, now: time.Now().Truncate(time.Microsecond), random: rand.New(rand.NewPCG(1, 2))}
	ago := func(i, n int) time.Time {
		return b.now.Add(-time.Duration(n-i) * 365 * 24 * time.Hour / time.Duration(n))
	}
	for i := range manyClients {
		b.clients = append(b.clients, auth.NewClientID(ago(i, manyClients)))
		b.secrets = append(b.secrets, auth.NewSecretID(ago(i, manyClients)))
	}
	for i := range manyAPIs {
		b.apis = append(b.apis, auth.NewAPIID(ago(i, manyAPIs)))
	}
	at := b.now.UnixMicro()
	b.insert(tb, "apis (id, revision, identifier, name, scopes, format, lifetime, algorithm, created, updated)", manyAPIs, func(i int) []any {
		return []any{
			b.apis[i][:], 1, fmt.Sprintf("https://api-%d.example", i), fmt.Sprintf("API %03d", i*7%manyAPIs), `[{"Name":"read","Description":""}]`,
			"jwt", int64(time.Hour / time.Microsecond), "ES256", at, at,
		}
	})
	b.insert(tb, "clients (id, revision, name, description, owner, labels, status, auth_method, created, updated)", manyClients, func(i int) []any {
		status := "active"
		if i%50 == 49 {
			status = "disabled"
		}
		return []any{
			b.clients[i][:], 1, name(i), "a service of a big deployment", owner(i),
			fmt.Sprintf(`{"tier":"%d","zone":"%d"}`, i%3, i%500), status, "client_secret_basic", at, at,
		}
	})
	b.insert(tb, "client_labels (client_id, name, value, client_name)", 2*manyClients, func(i int) []any {
		if i%2 == 0 {
			return []any{b.clients[i/2][:], "tier", fmt.Sprint(i / 2 % 3), name(i / 2)}
		}
		return []any{b.clients[i/2][:], "zone", fmt.Sprint(i / 2 % 500), name(i / 2)}
	})
	b.insert(tb, "api_servers (api_id, client_id)", 2*manyAPIs, func(i int) []any { return []any{b.apis[i/2][:], b.clients[i][:]} })
	b.fillCredentials(tb)
	b.fillLogs(tb)
	return b
}

func (b *big) fillCredentials(tb testing.TB) {
	tb.Helper()
	at := b.now.UnixMicro()
	b.insert(tb, "secrets (client_id, id, revision, hash, pepper, hint, status, created, created_by)", manyClients, func(i int) []any {
		return []any{b.clients[i][:], b.secrets[i][:], 1, b.hash(i), 1, "abcd", "active", at, b.secrets[max(i-1, 0)][:]}
	})
	b.insert(tb, "secret_uses (client_id, secret_id, first_used, last_used, source)", manyClients, func(i int) []any {
		return []any{b.clients[i][:], b.secrets[i][:], at, at, "192.0.2.1"}
	})
	// The first API is granted to many clients, and as many grants are of the first client as there are APIs.
	type pair struct{ client, api int }
	pairs := make(map[pair]bool, manyGrants)
	for i := range manyAPIs {
		pairs[pair{0, i}] = true
	}
	for i := range busyGrants {
		pairs[pair{i, 0}] = true
	}
	for len(pairs) < manyGrants {
		pairs[pair{b.random.IntN(manyClients), b.random.IntN(manyAPIs)}] = true
	}
	all := make([]pair, 0, manyGrants)
	for p := range pairs {
		all = append(all, p)
	}
	slices.SortFunc(all, func(p, q pair) int { return (p.client-q.client)*manyAPIs + p.api - q.api })
	b.insert(tb, "grants (client_id, api_id, revision, scopes, created, updated)", manyGrants, func(i int) []any {
		return []any{b.clients[all[i].client][:], b.apis[all[i].api][:], 1, "read write", at, at}
	})
	for i := range usesAtOnce {
		b.secretUses = append(b.secretUses, auth.ClientSecretUse{
			Client: b.clients[i*3], SecretUse: auth.SecretUse{Secret: b.secrets[i*3], First: b.now, Last: b.now, Source: "192.0.2.1"},
		})
		b.grantUses = append(b.grantUses, auth.GrantUse{Client: b.clients[all[i*9].client], API: b.apis[all[i*9].api], Scope: "read", Last: b.now, Tokens: 1})
	}
	b.insert(tb, "grant_uses (client_id, api_id, scope, last_used, tokens)", manyGrants, func(i int) []any {
		return []any{b.clients[all[i].client][:], b.apis[all[i].api][:], "", at, 1}
	})
}

func (b *big) fillLogs(tb testing.TB) {
	tb.Helper()
	issued := b.now.Truncate(time.Second)
	for i := range manyTokens {
		b.tokens = append(b.tokens, auth.NewTokenID(issued, issued.Add(auth.MinLifetime+time.Duration(i)*2*time.Second)))
	}
	b.insert(tb, "tokens (jti, client, credential, api, scope, issued, expires, revision)", manyTokens, func(i int) []any {
		client := 0
		if i > busyTokens {
			client = b.random.IntN(manyClients)
		}
		return []any{b.tokens[i][:], b.clients[client][:], b.secrets[client][:], b.apis[i%manyAPIs][:], "read", issued.UnixMicro(), issued.UnixMicro(), 0}
	})
	b.insert(tb, "audit_events (number, id, at, actor_client, actor_credential, actor_name, source, request, action, target, changes, chain, target_id)",
		manyEvents, func(i int) []any {
			at := b.now.Add(-time.Duration(manyEvents-i) * time.Minute)
			id, target := auth.NewEventID(at), b.clients[i*3%manyClients]
			return []any{
				i + 1, id[:], at.UnixMicro(), b.clients[i%20][:], make([]byte, 16), "console", "192.0.2.1", "r-1",
				[]string{"grant.put", "client.update", "secret.create"}[i%3], target.String() + "/" + b.apis[i%manyAPIs].String(), "{}",
				make([]byte, 32), target.String(),
			}
		})
	b.insert(tb, "auth_failures (at, client, reason, source, request, number)", manyEvents/3, func(i int) []any {
		return []any{b.now.UnixMicro() - int64(i), b.clients[i%100][:], "wrong_secret", "192.0.2.1", "r-1", 1}
	})
	b.insert(tb, "replays (id, request, answer, at, sealed_at)", manyEvents/3, func(i int) []any {
		return []any{b.hash(i), make([]byte, 32), []byte("{}"), b.now.UnixMicro() - int64(i), nil}
	})
}

func (b *big) hash(i int) []byte {
	return append(make([]byte, 0, 32), slices.Concat(b.secrets[i][:], b.secrets[i][:])...)
}

// insert writes n rows into a table.
func (b *big) insert(tb testing.TB, table string, n int, row func(i int) []any) {
	tb.Helper()
	const atOnce = 1000
	tx, err := b.db.BeginTx(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < n; i += atOnce {
		var args []any
		rows := min(atOnce, n-i)
		for j := range rows {
			args = append(args, row(i+j)...)
		}
		group := "(?" + strings.Repeat(", ?", len(args)/rows-1) + ")"
		if _, err := tx.ExecContext(tb.Context(), "INSERT INTO "+table+" VALUES "+group+strings.Repeat(", "+group, rows-1), args...); err != nil {
			tb.Fatalf("insert into %s: %v", table, err)
		}
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}
