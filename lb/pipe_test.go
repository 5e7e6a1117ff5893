package lb_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

// A connection is ended when it carries nothing in either direction, or nothing is taken of it, and not before.
func TestPipeEndsWhatIsIdle(t *testing.T) {
	const idle = time.Minute
	type world struct {
		client, upstream net.Conn // the far ends
		over             chan struct{}
	}
	tick := func(from, to net.Conn, every time.Duration, times int) {
		go io.Copy(io.Discard, to)
		for range times {
			if _, err := from.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
	for _, tt := range []struct {
		name     string
		act      func(w world)
		from, to time.Duration // when it has ended
	}{
		{"nothing at all", func(world) {}, idle, 2*idle + time.Second},
		{"the client sends now and then", func(w world) { tick(w.client, w.upstream, idle*3/4, 10) }, idle * 31 / 4, idle*35/4 + time.Second},
		{"the upstream sends now and then", func(w world) { tick(w.upstream, w.client, idle*3/4, 10) }, idle * 31 / 4, idle*35/4 + time.Second},
		{"one sends often", func(w world) { tick(w.upstream, w.client, time.Second, 600) }, 11*idle - time.Second, 12 * idle},
		{"both send in turn", func(w world) {
			go tick(w.client, w.upstream, idle*3/2, 4)
			time.Sleep(idle * 3 / 4)
			tick(w.upstream, w.client, idle*3/2, 4)
		}, idle * 25 / 4, idle*29/4 + time.Second},
		{"what is sent is not taken", func(w world) { w.client.Write([]byte("x")) }, 2 * idle, 2*idle + time.Second},
		{"both end at once", func(w world) { w.client.Close(); w.upstream.Close() }, 0, time.Second},
		{"one end breaks", func(w world) { w.upstream.Close() }, 0, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, near := net.Pipe()
				upstream, far := net.Pipe()
				w := world{client, upstream, make(chan struct{})}
				began := time.Now()
				var run sync.WaitGroup
				run.Go(func() {
					lb.Pass(context.Background(), near, far, idle)
					close(w.over)
				})
				run.Go(func() { tt.act(w) })
				<-w.over
				if took := time.Since(began); took < tt.from || took > tt.to {
					t.Errorf("ended after %v, want %v to %v", took, tt.from, tt.to)
				}
				client.Close()
				upstream.Close()
				run.Wait()
			})
		})
	}
}
