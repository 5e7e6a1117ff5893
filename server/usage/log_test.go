package usage_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/usage"
)

// notebook is an auth.UsageLog that does what stores are told to do, in memory.
type notebook struct {
	mu       sync.Mutex
	fail     func(call int) error // may be nil; asked before anything is written
	calls    int
	largest  int // batch
	rows     int // written
	secrets  map[auth.ClientID]map[auth.SecretID]auth.SecretUse
	grants   map[auth.GrantUse]auth.GrantUse // by client, API and scope
	failures []auth.Failure
}

func newNotebook() *notebook {
	return &notebook{secrets: map[auth.ClientID]map[auth.SecretID]auth.SecretUse{}, grants: map[auth.GrantUse]auth.GrantUse{}}
}

func (n *notebook) begin(rows int) error {
	n.calls++
	n.largest = max(n.largest, rows)
	if n.fail != nil {
		if err := n.fail(n.calls); err != nil {
			return err
		}
	}
	n.rows += rows
	return nil
}

func (n *notebook) RecordUses(_ context.Context, secrets []auth.ClientSecretUse, grants []auth.GrantUse) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.begin(len(secrets) + len(grants)); err != nil {
		return err
	}
	for _, s := range secrets {
		if n.secrets[s.Client] == nil {
			n.secrets[s.Client] = map[auth.SecretID]auth.SecretUse{}
		}
		before, known := n.secrets[s.Client][s.Secret]
		if known && before.First.Before(s.First) {
			s.First = before.First
		}
		n.secrets[s.Client][s.Secret] = s.SecretUse
	}
	for _, g := range grants {
		key := auth.GrantUse{Client: g.Client, API: g.API, Scope: g.Scope}
		before := n.grants[key]
		g.Tokens += before.Tokens
		if before.Last.After(g.Last) {
			g.Last = before.Last
		}
		n.grants[key] = g
	}
	return nil
}

func (n *notebook) RecordFailures(_ context.Context, failures []auth.Failure) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.begin(len(failures)); err != nil {
		return err
	}
	n.failures = append(n.failures, failures...)
	return nil
}

// written is how many rows were.
func (n *notebook) written() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rows
}

// failed is how many failures were written, of a client or, if it is nil, of all.
func (n *notebook) failed(client *auth.ClientID) (records int, count int64) {
	for _, f := range n.failures {
		if client == nil || f.Client == *client {
			records++
			count += f.Count
		}
	}
	return records, count
}

func newCollector(tb testing.TB, n auth.UsageLog) *usage.Collector {
	tb.Helper()
	c, err := usage.New(usage.Config{Log: n})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func flush(tb testing.TB, c *usage.Collector) {
	tb.Helper()
	if err := c.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func token(client auth.ClientID, api auth.APIID, scope string) *auth.Token {
	return &auth.Token{Client: client, API: api, Scope: scope}
}

func newClient() auth.ClientID { return auth.NewClientID(time.Now()) }
