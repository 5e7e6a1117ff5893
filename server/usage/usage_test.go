package usage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/usage"
)

func address(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }

// However often a secret is used, it is written once for each minute, with the first and the last.
func TestSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		c := newCollector(t, n)
		client, secret := newClient(), auth.NewSecretID(time.Now())
		use := func() auth.SecretUse {
			flush(t, c)
			return n.secrets[client][secret]
		}
		began := time.Now().Truncate(time.Minute).UTC()
		time.Sleep(time.Until(began.Add(59 * time.Second)))
		c.Authenticated(client, secret, address(1))
		c.Authenticated(client, secret, address(2))
		want := auth.SecretUse{Secret: secret, First: began, Last: began, Source: "192.0.2.1"}
		if diff := cmp.Diff(want, use()); diff != "" || n.rows != 1 {
			t.Errorf("%d rows: %s", n.rows, diff)
		}
		c.Authenticated(client, secret, address(3))
		if diff := cmp.Diff(want, use()); diff != "" || n.rows != 1 {
			t.Errorf("again within the minute, %d rows: %s", n.rows, diff)
		}
		time.Sleep(time.Second)
		c.Authenticated(client, secret, address(3))
		time.Sleep(3 * time.Minute)
		c.Authenticated(client, secret, address(4))
		want.Last, want.Source = began.Add(4*time.Minute), "192.0.2.4"
		if diff := cmp.Diff(want, use()); diff != "" || n.rows != 2 {
			t.Errorf("later, %d rows: %s", n.rows, diff)
		}
		time.Sleep(time.Hour)
		flush(t, c)
		if secrets, _, _, _ := c.Entries(); secrets != 0 {
			t.Errorf("%d entries are kept though nothing is used", secrets)
		}
		c.Authenticated(client, secret, netip.Addr{})
		want.Last, want.Source = time.Now().Truncate(time.Minute).UTC(), ""
		if diff := cmp.Diff(want, use()); diff != "" {
			t.Errorf("after an hour: %s", diff)
		}
	})
}

func TestGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		c := newCollector(t, n)
		client, stock, prices := newClient(), auth.NewAPIID(time.Now()), auth.NewAPIID(time.Now())
		first := time.Now().Truncate(time.Minute).UTC()
		for range 3 {
			c.Issued(token(client, stock, "read write"))
		}
		c.Issued(token(client, prices, ""))
		time.Sleep(time.Minute)
		c.Issued(token(client, stock, "read"))
		second := time.Now().Truncate(time.Minute).UTC()
		flush(t, c)
		flush(t, c)
		want := map[auth.GrantUse]auth.GrantUse{}
		for _, row := range []auth.GrantUse{
			{Client: client, API: stock, Last: second, Tokens: 4},
			{Client: client, API: stock, Scope: "read", Last: second, Tokens: 4},
			{Client: client, API: stock, Scope: "write", Last: first, Tokens: 3},
			{Client: client, API: prices, Last: first, Tokens: 1},
		} {
			want[auth.GrantUse{Client: row.Client, API: row.API, Scope: row.Scope}] = row
		}
		if diff := cmp.Diff(want, n.grants); diff != "" || n.rows != 4 {
			t.Errorf("%d rows: %s", n.rows, diff)
		}
		time.Sleep(time.Hour)
		flush(t, c)
		if _, grants, _, _ := c.Entries(); grants != 0 {
			t.Errorf("%d entries are kept though nothing is issued", grants)
		}
		c.Issued(token(client, prices, ""))
		flush(t, c)
		if got := n.grants[auth.GrantUse{Client: client, API: prices}]; got.Tokens != 2 {
			t.Errorf("after an hour: %+v", got)
		}
	})
}

// A client that asks for other scopes each time is counted, and does not fill the memory.
func TestScopesAreBounded(t *testing.T) {
	n := newNotebook()
	c := newCollector(t, n)
	client, api := newClient(), auth.NewAPIID(time.Now())
	const all = 60_000
	for i := range all {
		c.Issued(token(client, api, "s"+strconv.Itoa(i)))
	}
	if _, grants, _, _ := c.Entries(); grants > 50_001 {
		t.Errorf("%d entries", grants)
	}
	flush(t, c)
	if got := n.grants[auth.GrantUse{Client: client, API: api}].Tokens; got != all {
		t.Errorf("%d tokens, want %d", got, all)
	}
}

// What cannot be written is written later, once.
func TestFlushThatFails(t *testing.T) {
	const clients = 1200 // more than two batches
	n := newNotebook()
	c := newCollector(t, n)
	api := auth.NewAPIID(time.Now())
	for range clients { // more than are told apart when they fail
		id := newClient()
		c.Authenticated(id, auth.NewSecretID(time.Now()), address(1))
		c.Issued(token(id, api, "read write"))
		c.Failed(id, auth.WrongSecret, address(1), "request")
	}
	gone := errors.New("database is gone")
	failing := true
	n.fail = func(call int) error {
		if failing && call%2 == 0 {
			return gone
		}
		return nil
	}
	for range 3 {
		if err := c.Flush(t.Context()); !errors.Is(err, gone) {
			t.Fatalf("error %v", err)
		}
	}
	failing = false
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Run(ctx) // flushes what a rate holds back, too
	if len(n.secrets) != clients || len(n.grants) != 3*clients {
		t.Errorf("%d secrets, %d grants", len(n.secrets), len(n.grants))
	}
	for key, use := range n.grants {
		if use.Tokens != 1 {
			t.Errorf("%+v is written as %d tokens", key, use.Tokens)
		}
	}
	if _, count := n.failed(nil); count != clients {
		t.Errorf("%d failures, want %d", count, clients)
	}
	if n.largest > 502 { // three rows of one grant stay together
		t.Errorf("a batch of %d", n.largest)
	}
}

// Nothing is lost or counted twice, whatever happens at the same time.
func TestConcurrently(t *testing.T) {
	n := newNotebook()
	broken := errors.New("broken")
	n.fail = func(int) error {
		if rand.IntN(2) == 0 {
			return broken
		}
		return nil
	}
	c := newCollector(t, n)
	clients := []auth.ClientID{newClient(), newClient()}
	api, secret := auth.NewAPIID(time.Now()), auth.NewSecretID(time.Now())
	const each, workers = 20_000, 4
	var work, flushes sync.WaitGroup
	done := make(chan struct{})
	flushes.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = c.Flush(t.Context()) // fails half of the time
			}
		}
	})
	for w := range workers {
		work.Go(func() {
			for i := range each {
				client := clients[i%2]
				c.Authenticated(client, secret, address(1))
				c.Issued(token(client, api, "s"+strconv.Itoa(i%5)))
				if i%100 == 0 {
					c.Failed(client, auth.Reasons()[w], address(1), "")
				}
			}
		})
	}
	work.Wait()
	close(done)
	flushes.Wait()
	n.fail = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Run(ctx) // flushes what a rate holds back, too
	for _, client := range clients {
		if got := n.grants[auth.GrantUse{Client: client, API: api}].Tokens; got != each*workers/2 {
			t.Errorf("%d tokens, want %d", got, each*workers/2)
		}
		if got := n.secrets[client][secret]; got.First.IsZero() || got.Last.Before(got.First) {
			t.Errorf("use is %+v", got)
		}
	}
	if _, count := n.failed(nil); count != each*workers/100 {
		t.Errorf("%d failures, want %d", count, each*workers/100)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		c := newCollector(t, n)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		client := newClient()
		c.Authenticated(client, auth.SecretID{1}, address(1))
		time.Sleep(usage.DefaultEvery - time.Second)
		synctest.Wait()
		if n.written() != 0 {
			t.Error("flushed before the time")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n.written() != 1 {
			t.Error("did not flush in time")
		}
		c.Issued(token(client, auth.APIID{}, "read"))
		for range 25 {
			c.Failed(client, auth.WrongSecret, address(1), "")
		}
		cancel()
		<-ended
		if _, count := n.failed(nil); len(n.grants) != 2 || count != 25 {
			t.Errorf("%d grants and %d failures at the end", len(n.grants), count)
		}
	})
}

// stuck is a database that does not answer.
type stuck struct{ auth.UsageLog }

func (stuck) RecordUses(ctx context.Context, _ []auth.ClientSecretUse, _ []auth.GrantUse) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCollector(t, stuck{newNotebook()})
		c.Authenticated(newClient(), auth.SecretID{1}, address(1))
		c.Issued(token(newClient(), auth.APIID{}, "read"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		c.Run(ctx)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestConfig(t *testing.T) {
	if _, err := usage.New(usage.Config{}); err == nil || !strings.Contains(err.Error(), "log") {
		t.Errorf("without a log: %v", err)
	}
}
