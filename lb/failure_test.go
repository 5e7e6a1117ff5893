package lb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		retry  time.Duration
		gone   bool
	}{
		{"nobody there", fmt.Errorf("send: %w", lb.ErrUnreachable), http.StatusServiceUnavailable, time.Second, false},
		{"nobody free", lb.ErrBusy, http.StatusServiceUnavailable, time.Second, false},
		{"a deadline of the caller", fmt.Errorf("send: %w", context.DeadlineExceeded), http.StatusGatewayTimeout, time.Second, false},
		{"the client left", fmt.Errorf("send: %w", context.Canceled), 499, 0, true},
		{"the client left in the middle", fmt.Errorf("%w: %w", context.Canceled, lb.ErrUnreachable), 499, 0, true},
		{"too large a body", &http.MaxBytesError{Limit: 1}, http.StatusRequestEntityTooLarge, 0, false},
		{"broken", io.ErrUnexpectedEOF, http.StatusBadGateway, 0, false},
	} {
		status, detail, retry, gone := lb.Classify(tt.err)
		if status != tt.status || detail == "" || retry != tt.retry || gone != tt.gone {
			t.Errorf("%s: %d %q %v %v", tt.name, status, detail, retry, gone)
		}
	}
}

// A transport's error tells that the client left, whatever else went wrong on the way.
func TestErrorTellsThatTheContextEnded(t *testing.T) {
	u := startUpstream(t, nil)
	tr := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, u.addr)})
	for _, method := range []string{http.MethodPut, http.MethodPost} { // buffered and streamed
		ctx, cancel := context.WithCancel(t.Context())
		body := readFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.ErrUnexpectedEOF
		})
		req, err := http.NewRequestWithContext(ctx, method, "http://any/", body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestVouches(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Forwarded-For": true, "X.Forwarded.For": true, "X!Real~Ip": true, "x_forwarded_anything": true, "Forwarded": true, "CLIENT-CERT": true, "True_Client_IP": true,
		"X-Forward": false, "Accept": false, "": false, "Client-Certificate": false,
	} {
		if got := lb.Vouches(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
