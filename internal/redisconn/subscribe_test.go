package redisconn_test

import (
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

type listener struct{ events chan string }

func newListener() *listener { return &listener{make(chan string, 1000)} }

func (l *listener) Subscribed()         { l.events <- "subscribed" }
func (l *listener) Message(text string) { l.events <- text }

func (l *listener) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-l.events:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("heard nothing, want %q", want)
	}
}

func TestSubscribe(t *testing.T) {
	server := testbed.StartRedis(t)
	proxy := testbed.StartProxy(t, server.Addr())
	sender := open(t, server.URL(), redisconn.Config{})
	conn := open(t, "redis://"+proxy.Addr(), redisconn.Config{})
	heard := newListener()
	go conn.Subscribe(t.Context(), "changes", heard)
	heard.expect(t, "subscribed")
	say := func(text string) {
		t.Helper()
		if err := sender.Publish(t.Context(), "changes", text); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	heard.expect(t, "one")

	proxy.Reset()
	heard.expect(t, "subscribed")
	say("two")
	heard.expect(t, "two")

	// A connection that died silently is found out by asking.
	proxy.BlackHole()
	testbed.Wait(t, 10*time.Second, func() error {
		if proxy.Connections() < 2 { // the dead one stays, since nobody tells the proxy's network
			return errors.New("no new connection was tried")
		}
		return nil
	})
	say("lost")
	proxy.Pass()
	heard.expect(t, "subscribed")
	say("three")
	heard.expect(t, "three")
}
