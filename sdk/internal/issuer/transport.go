package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// errTransport: the user's transport cannot be told which certificate to show.
var errTransport = errors.New("a client certificate needs an HTTP client whose Transport is a *http.Transport, or none of your own")

// newClient returns a copy of the user's client, or one of our own and its transport. Neither follows redirects, which could carry credentials
// to somebody else, or keeps cookies. Time-outs are those of an attempt, since a stream has none. With a client certificate it is a copy of the
// user's transport, too: others who use that show none.
func newClient(users *http.Client, certificate func(context.Context) (*tls.Certificate, error)) (*http.Client, *http.Transport, error) {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if users != nil && certificate == nil {
		return &http.Client{Transport: users.Transport, CheckRedirect: stay}, nil, nil
	}
	own := usual()
	if users != nil {
		base := users.Transport
		if base == nil {
			base = http.DefaultTransport
		}
		known, ok := base.(*http.Transport)
		if !ok {
			return nil, nil, errTransport
		}
		own = known.Clone()
	}
	Show(own, certificate)
	return &http.Client{Transport: own, CheckRedirect: stay}, own, nil
}

// Show has a transport show a client certificate to servers that ask for one. nil: none.
func Show(t *http.Transport, certificate func(context.Context) (*tls.Certificate, error)) {
	if certificate == nil {
		return
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return certificate(asked.Context())
	}
}

// usual returns the transport of those who give none.
func usual() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    3 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64, // introspections come in bursts
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		// Without pings a connection that was cut silently would fail every request until the system gives it up, minutes later.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
	}
}

// present sees to it that connections are made with the certificate that is there now: one that has changed is shown by new ones only.
func (i *Issuer) present(ctx context.Context) error {
	if i.config.Certificate == nil {
		return nil
	}
	now, err := i.config.Certificate(ctx)
	if err != nil {
		return err
	}
	if before := i.shown.Swap(now); before != nil && before != now {
		i.own.CloseIdleConnections()
	}
	return nil
}
