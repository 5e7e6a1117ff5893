package storetest

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
)

// Opened is a store under test.
type Opened struct {
	Store  auth.Store
	Ledger auth.Ledger
	Usage  auth.UsageLog
	Keys   *auth.AuditKeys // of Store and Ledger
	// Again opens the same database once more, as another instance would.
	Again func(t *testing.T) *Opened
}

// Run runs the suite. open returns a store on a new, empty database, and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) *Opened) {
	for _, part := range []struct {
		name string
		test func(*testing.T, *Opened)
	}{
		{"clients", testClients},
		{"clients in order", testClientOrder},
		{"secrets", testSecrets},
		{"apis", testAPIs},
		{"grants", testGrants},
		{"grants at once", testGrantsAtOnce},
		{"exchange grants", testExchanges},
		{"trusted issuers", testTrustedIssuers},
		{"keys", testKeys},
		{"changes", testChanges},
		{"names", testNames},
		{"lists of clients", testListClients},
		{"lists that change", testStablePages},
		{"lists of apis", testListAPIs},
		{"lists of grants", testListGrants},
		{"lists of tokens", testListTokens},
		{"audit", testAudit},
		{"audit queries", testAuditQueries},
		{"audit chain", testChain},
		{"audit retention", testRetention},
		{"failures", testFailures},
		{"uses of secrets", testSecretUses},
		{"uses of grants", testGrantUses},
		{"replays", testReplays},
		{"what hangs on a client goes with it", testDeleteClient},
		{"what hangs on an api goes with it", testDeleteAPI},
		{"an update that fails leaves nothing", testRollback},
		{"a view is one snapshot", testSnapshot},
		{"sequences have no gap", testGapFree},
		{"tokens", testTokens},
		{"tokens of a stale decision", testStaleTokens},
		{"tokens again", testRetriedTokens},
		{"tokens that are bound and derived", testStrongTokens},
		{"proofs are used once", testProofs},
		{"proofs at once", testProofsAtOnce},
		{"proofs are forgotten", testProofsForgotten},
		{"restored", testRestored},
		{"one bad token fails the batch", testBadToken},
		{"revocations", testRevoke},
		{"revocations again", testRevokeAgain},
		{"maintenance removes what expired", testMaintain},
		{"maintenance cuts the change log", testFloor},
		{"maintenance is done by one", testLease},
		{"a call that is cancelled", testCancelled},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

// now returns a time as precise as a store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (o *Opened) update(t *testing.T, change func(context.Context, auth.Tx) error) {
	t.Helper()
	if err := o.try(t, change); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func (o *Opened) try(t *testing.T, change func(context.Context, auth.Tx) error) error {
	t.Helper()
	return o.Store.Update(t.Context(), func(tx auth.Tx) error { return change(t.Context(), tx) })
}

func (o *Opened) view(t *testing.T, read func(context.Context, auth.Tx) error) {
	t.Helper()
	if err := o.Store.View(t.Context(), func(tx auth.Tx) error { return read(t.Context(), tx) }); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// viewed returns what read finds in a view.
func viewed[T any](t *testing.T, o *Opened, read func(context.Context, auth.Tx) (T, error)) T {
	t.Helper()
	var found T
	o.view(t, func(ctx context.Context, tx auth.Tx) (err error) {
		found, err = read(ctx, tx)
		return err
	})
	return found
}

// collected returns what one of the Each functions of a part calls with.
func collected[T any](each func(context.Context, func(*T) error) error) func(context.Context) ([]*T, error) {
	return func(ctx context.Context) (all []*T, err error) {
		err = each(ctx, func(item *T) error {
			all = append(all, item)
			return nil
		})
		return all, err
	}
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func position(t *testing.T, o *Opened) auth.Position {
	t.Helper()
	return viewed(t, o, func(ctx context.Context, tx auth.Tx) (auth.Position, error) { return tx.Changes().Position(ctx) })
}

func compareIDs[ID ~[16]byte](a, b ID) int { return cmp.Compare(string(a[:]), string(b[:])) }
