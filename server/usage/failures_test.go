package usage_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/usage"
)

func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		c := newCollector(t, n)
		client := newClient()
		c.Failed(client, auth.ExpiredSecret, address(7), "request-1")
		flush(t, c)
		want := []auth.Failure{{At: time.Now().UTC(), Client: client, Reason: auth.ExpiredSecret, Source: "192.0.2.7", Request: "request-1", Count: 1}}
		if diff := cmp.Diff(want, n.failures); diff != "" {
			t.Error(diff)
		}
	})
}

// A flood takes no more room than ten records at once and ten a minute, and yet each of it is counted.
func TestFloodOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		c := newCollector(t, n)
		client, other := newClient(), newClient()
		const flood = 100_000
		for range flood {
			c.Failed(client, auth.WrongSecret, address(1), "")
			c.Failed(auth.ClientID{}, auth.UnknownClient, address(1), "")
		}
		c.Failed(client, auth.WrongMethod, address(2), "last")
		c.Failed(other, auth.WrongSecret, address(1), "")
		flush(t, c)
		for who, id := range map[string]auth.ClientID{"client": client, "unknown": {}} {
			if records, count := n.failed(&id); records != 10 || count != 10 {
				t.Errorf("%s: %d records of %d at first", who, records, count)
			}
		}
		if records, _ := n.failed(&other); records != 1 {
			t.Errorf("another client has %d records", records)
		}
		time.Sleep(30 * time.Second)
		flush(t, c)
		if records, count := n.failed(&client); records != 12 || count != flood+1 {
			t.Errorf("%d records of %d, once the flood is over", records, count)
		}
		time.Sleep(2 * time.Minute)
		flush(t, c)
		if _, _, suspects, queue := c.Entries(); suspects != 0 || queue != 0 {
			t.Errorf("%d clients and %d failures are kept", suspects, queue)
		}
	})
}

// However many clients fail, and however long nothing can be written, memory is bounded and nothing goes uncounted.
func TestFloodOfManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotebook()
		gone := errors.New("gone")
		n.fail = func(int) error { return gone }
		c := newCollector(t, n)
		var clients []auth.ClientID
		for range 3000 {
			clients = append(clients, newClient())
		}
		total := int64(0)
		for range 20 {
			for _, id := range clients {
				c.Failed(id, auth.WrongSecret, address(1), "")
				total++
			}
			if err := c.Flush(t.Context()); !errors.Is(err, gone) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(10 * time.Second)
			if _, _, suspects, queue := c.Entries(); suspects > 1001 || queue > 10_000 {
				t.Fatalf("%d clients and %d failures are kept", suspects, queue)
			}
		}
		n.fail = nil
		for range 3 {
			flush(t, c)
			time.Sleep(time.Minute)
		}
		if _, count := n.failed(nil); count != total {
			t.Errorf("%d failures, want %d", count, total)
		}
		if n.largest > 500 {
			t.Errorf("a batch of %d", n.largest)
		}
	})
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	c, err := usage.New(usage.Config{Log: newNotebook(), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	c.Failed(newClient(), auth.WrongSecret, address(1), "")
	c.Failed(newClient(), "no such reason", address(1), "")
	flush(t, c)
	const name = "countersign_authentication_failures_total"
	if n, err := testutil.GatherAndCount(registry, name); err != nil || n != len(auth.Reasons()) {
		t.Errorf("%d series, %v", n, err)
	}
	if n, err := testutil.GatherAndCount(registry, "countersign_usage_flushes_total"); err != nil || n != 2 {
		t.Errorf("%d series, %v", n, err)
	}
}
