package issuer

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// newClient returns a copy of the user's client, or one of our own and its transport. Neither follows redirects, which could carry credentials
// to somebody else, or keeps cookies. Time-outs are those of an attempt, since a stream has none.
func newClient(users *http.Client) (*http.Client, *http.Transport) {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if users != nil {
		return &http.Client{Transport: users.Transport, CheckRedirect: stay}, nil
	}
	own := &http.Transport{
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
	return &http.Client{Transport: own, CheckRedirect: stay}, own
}
