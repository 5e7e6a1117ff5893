package listeners_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/listeners"
)

func TestCloseFinishesWhatIsInFlight(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	set := newSet(t,
		listeners.Spec{Name: "a", Address: anywhere, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-release
			_, _ = io.WriteString(w, "whole")
		})},
		listeners.Spec{Name: "admin", Address: anywhere, Handler: saying("still here"), Last: true})
	d, admin := dial(t, address(t, set, "a")), address(t, set, "admin")
	d.send(get)
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- set.Close() }()
	await(t, "the listener is closed", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address(t, set, "a"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	last := dial(t, admin)
	last.send(get)
	if got := last.answer(); got != "still here" {
		t.Errorf("got %s", got)
	}
	close(release)
	if got := d.answer(); !strings.HasPrefix(got, "whole") {
		t.Errorf("got %s", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", admin); err == nil {
		_ = conn.Close()
		t.Error("the last one is still open")
	}
}

// Within the delay a connection that is kept gets one more answer, which tells its client to come anew, elsewhere.
func TestKeptConnectionsAreToldDuringTheDelay(t *testing.T) {
	set := newSet(t, listeners.Spec{Name: "a", Address: anywhere, Handler: saying("x"), DrainDelay: 400 * time.Millisecond})
	closed := make(chan error, 1)
	go func() { closed <- set.Close() }()
	await(t, "answers are the last ones", func() bool {
		d := dial(t, address(t, set, "a"))
		d.send(get)
		return d.answer() == "x (last)"
	})
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestTheDrainIsBounded(t *testing.T) {
	const short = 50 * time.Millisecond
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	for _, tt := range []struct {
		name    string
		spec    listeners.Spec
		failure bool
	}{
		{"request", listeners.Spec{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			entered <- struct{}{}
			<-release
		})}, true},
		{"upgraded connection", listeners.Spec{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			entered <- struct{}{}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		})}, false},
		{"stream that reads", listeners.Spec{Stream: func(_ context.Context, conn net.Conn) {
			entered <- struct{}{}
			_, _ = io.Copy(io.Discard, conn)
		}}, false},
		{"stream that waits", listeners.Spec{Stream: func(ctx context.Context, conn net.Conn) {
			if _, err := io.ReadFull(conn, make([]byte, len(get))); err != nil {
				t.Error(err)
			}
			entered <- struct{}{}
			<-ctx.Done()
		}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name, tt.spec.Address, tt.spec.DrainTimeout = "a", anywhere, short
			set := newSet(t, tt.spec)
			d := dial(t, address(t, set, "a"))
			d.send(get)
			<-entered
			if err := set.Close(); (err != nil) != tt.failure {
				t.Errorf("got %v", err)
			}
			if status(t, set, "a").Connections != 0 {
				t.Errorf("got %v", set.Status())
			}
			_ = d.ends() // it does
		})
	}
}

func TestAStreamThatEndsIsWaitedFor(t *testing.T) {
	set := newSet(t, listeners.Spec{Name: "a", Address: anywhere, Stream: func(_ context.Context, conn net.Conn) {
		_, _ = io.Copy(conn, conn)
	}})
	d := dial(t, address(t, set, "a"))
	d.send("x")
	if _, err := d.buf.ReadByte(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- set.Close() }()
	await(t, "the listener is closed", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address(t, set, "a"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	d.send("y")
	if b, err := d.buf.ReadByte(); b != 'y' {
		t.Errorf("got %q, %v", b, err)
	}
	_ = d.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
