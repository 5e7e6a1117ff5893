package sdktest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
)

// memory calls the issuer without a network. Whatever the host of the request, it is the issuer that answers.
type memory struct{ issuer *Issuer }

// RoundTrip implements http.RoundTripper. All but streams are answered by the goroutine of the caller.
func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // the contract of RoundTripper; it was read
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := m.dial(r); err != nil {
		return nil, err
	}
	in := r.Clone(ctx)
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1234" // RFC 5737
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if e, _ := m.issuer.route(in); e == FeedStream {
		return m.stream(in)
	}
	w := httptest.NewRecorder()
	if err := serve(m.issuer, w, in); err != nil {
		return nil, err
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// dial fails as making a connection would.
func (m memory) dial(r *http.Request) error {
	i := m.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.isDown(r.URL.Host) {
		i.refused++
		return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if i.config.expired {
		return &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}
	}
	return nil
}

// stream answers with a body that is written while it is read. Its goroutine ends when the body is closed, the request's context ends,
// or a switch ends it; [Issuer.Close] waits for it.
func (m memory) stream(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := io.Pipe()
	w := &streamWriter{header: make(http.Header), pipe: writer, begun: make(chan struct{})}
	failed := make(chan error, 1)
	m.issuer.streams.Go(func() {
		defer cancel()
		stop := context.AfterFunc(ctx, func() { _ = writer.CloseWithError(context.Cause(ctx)) })
		defer stop()
		err := serve(m.issuer, w, r.WithContext(ctx))
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			w.WriteHeader(http.StatusOK)
		}
		failed <- err
		_ = writer.CloseWithError(err) // nil: io.EOF
	})
	select {
	case err := <-failed:
		if err != nil {
			return nil, err
		}
	case <-w.begun:
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &streamBody{reader, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// serve calls the issuer, and returns how the connection broke if it did.
func serve(i *Issuer, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch broken := recover(); {
		case broken == nil:
		case broken != http.ErrAbortHandler: //nolint:errorlint // the very value, as net/http has it
			panic(broken)
		case r.Context().Err() != nil:
			err = context.Cause(r.Context())
		default:
			err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		}
	}()
	i.ServeHTTP(w, r)
	return nil
}

// streamWriter is the answering side of a stream.
type streamWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	begun  chan struct{} // closed when status and sent are there
	status int
	sent   http.Header
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	}
}

func (w *streamWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}

// Flush implements http.Flusher. What was written was read.
func (w *streamWriter) Flush() {}

type streamBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close ends the stream.
func (b *streamBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
