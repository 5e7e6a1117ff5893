package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign/countersign/lb/http1"
)

// What is taken for an answer, http.ReadResponse takes for the same answer, with the same bytes behind it.
func FuzzAnswer(f *testing.F) {
	for _, tt := range answers() {
		if len(tt.text) < 1000 {
			f.Add(tt.method == http.MethodHead, []byte(tt.text))
		}
	}
	f.Fuzz(func(t *testing.T, isHead bool, text []byte) {
		method := http.MethodGet
		if isHead {
			method = http.MethodHead
		}
		dials := 0
		dial := func(context.Context, string, string) (net.Conn, error) {
			dials++
			return fakeConn{said: bytes.NewReader(text)}, nil
		}
		ours := http1.New(http1.Config{Dial: dial, DialTLS: dial, IdleTimeout: time.Minute, MaxIdlePerHost: 1, MaxHeaderBytes: maxHeader})
		defer ours.CloseIdleConnections()
		req := newRequest(t.Context(), t, method, "a", nil)
		got := do(ours, req)
		if got.Failed {
			return
		}
		said := bufio.NewReader(bytes.NewReader(text))
		want, err := referred(said, req)
		if err != nil {
			t.Fatalf("got %+v, http.ReadResponse: %v", got, err)
		}
		if got.HalfRead {
			return
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(outcome{}, "Err"), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		if _, err := said.ReadByte(); err == nil || got.Close {
			_ = do(ours, req)
			if dials != 2 {
				t.Error("a connection was used again that has bytes nobody asked for, or was to be closed")
			}
		}
	})
}

// referred is the first answer that is not interim, by net/http.
func referred(said *bufio.Reader, req *http.Request) (outcome, error) {
	for {
		resp, err := http.ReadResponse(said, req)
		if err != nil {
			return outcome{}, err
		}
		if resp.StatusCode >= 200 {
			return read(resp), nil
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return outcome{}, err
		}
	}
}
