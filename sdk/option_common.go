package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// newCommon returns what holds without options.
func newCommon() common {
	log := slog.Default() //nolint:forbidigo // what runs in somebody else's service logs where the service does
	return common{log: log, tracer: untraced{}, timeout: issuer.DefaultTimeout}
}

// sign has every record say of whom it is.
func (c *common) sign(identifier, clientID string) {
	c.log = c.log.With(slog.String("component", "countersign"), slog.String("issuer", identifier))
	if clientID != "" {
		c.log = c.log.With(slog.String("client_id", clientID))
	}
}

// untraced is the Tracer that tells nobody.
type untraced struct{}

func (untraced) Start(ctx context.Context, _ string) (context.Context, func(Outcome)) {
	return ctx, func(Outcome) {}
}

// WithHTTPClient sets the client that carries the requests to the authorization server, for a private certificate authority, a proxy or a
// client certificate. Its transport is used, with neither redirects nor cookies nor its Timeout ([WithTimeout] sets one that leaves
// streams alone). By default the SDK has a client of its own, which speaks TLS 1.2 or later and heeds the proxies of the environment.
func WithHTTPClient(client *http.Client) Option {
	return commonOption(func(c *common) error {
		if client == nil {
			return errors.New("WithHTTPClient: the client is nil")
		}
		c.http = client
		return nil
	})
}

// WithAddresses names the origins by which the authorization server is reached, such as "https://10.0.0.7:8443", one for each of its
// instances. They take the place of the issuer's own origin; the one that answered last is asked first, another if it does not answer. A
// certificate must be for the address that is asked. By default the issuer's own origin is the only one.
func WithAddresses(addresses ...string) Option {
	return commonOption(func(c *common) error {
		if len(addresses) == 0 {
			return errors.New("WithAddresses: at least one is needed")
		}
		for _, address := range addresses {
			if err := issuer.CheckAddress(address); err != nil {
				return fmt.Errorf("WithAddresses: %q: %w", address, err)
			}
		}
		c.addresses = slices.Clone(addresses)
		return nil
	})
}

// WithLogger sets who hears of what goes wrong out of a caller's sight. By default it is slog.Default(), as it is when the Client or
// Verifier is made. Records have the attributes component=countersign, issuer, client_id if there is one, and resource or audience if they
// concern one; those about a single call are of level Debug. None holds a secret or a token. To hear nothing, give
// slog.New(slog.DiscardHandler).
func WithLogger(log *slog.Logger) Option {
	return commonOption(func(c *common) error {
		if log == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.log = log
		return nil
	})
}

// WithTracer sets who is told of every exchange with the authorization server and every look-up in a shared store.
func WithTracer(tracer Tracer) Option {
	return commonOption(func(c *common) error {
		if tracer == nil {
			return errors.New("WithTracer: the tracer is nil")
		}
		c.tracer = tracer
		return nil
	})
}

// WithTimeout sets how long one request to the authorization server may take, answer included: 100 ms to 1 min, 5 s by default. With
// several addresses each attempt has an equal part of it, but no less than a second. A verifier's introspections end sooner, see
// [WithBound].
func WithTimeout(timeout time.Duration) Option {
	return commonOption(func(c *common) error {
		if timeout < 100*time.Millisecond || timeout > time.Minute {
			return fmt.Errorf("WithTimeout: %s is not within 100ms and 1m", timeout)
		}
		c.timeout = timeout
		return nil
	})
}
