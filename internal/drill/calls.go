package drill

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
)

// The names of the loads.
const (
	loadOrders     = "orders"     // the whole chain: user, load balancer, gateway, A, load balancer, gateway, B
	loadItems      = "items"      // an `available` route of B, with a cached token
	loadStrict     = "strict"     // a `strict` route of B, with a cached token
	loadToken      = "token"      // the token endpoint
	loadIntrospect = "introspect" // introspection of one token
)

// orders asks what can be ordered: the whole chain, from the user on.
func (r *run) orders() asking {
	return asking{name: loadOrders, ask: func(ctx context.Context) Sample { return r.get(ctx, r.Bootstrap.EntryURL+"/orders") }}
}

// tokens asks for tokens, without the SDK's patience.
func (r *run) tokens() asking {
	return asking{name: loadToken, ask: func(ctx context.Context) Sample {
		s, _ := r.token(ctx, r.Bootstrap.Issuer, r.Bootstrap.Clients["service-a"])
		return s
	}}
}

// introspections asks about one token, as service B.
func (r *run) introspections(ctx context.Context) (asking, error) {
	s, token := r.token(ctx, r.Bootstrap.Issuer, r.Bootstrap.Clients["service-a"])
	if s.Kind != OK {
		return asking{}, fmt.Errorf("get a token for introspection: %s", s)
	}
	return asking{name: loadIntrospect, ask: func(ctx context.Context) Sample {
		return r.introspect(ctx, r.Bootstrap.Issuer, r.Bootstrap.Clients["service-b"], token)
	}}, nil
}

// caller is a service that calls B by the SDK, with a token that it keeps.
type caller struct {
	run    *run
	client *sdk.Client
	http   *http.Client
}

// newCaller returns a caller with these credentials. It is closed when the drill ends.
func (r *run) newCaller(c up.Credential, auth sdk.ClientAuth) (*caller, error) {
	client, err := sdk.New(r.Bootstrap.Issuer, c.ClientID, auth, sdk.WithLogger(r.quiet))
	if err != nil {
		return nil, fmt.Errorf("make a client of the SDK: %w", err)
	}
	r.later("close the SDK's client "+rand.Text(), func(context.Context) error { return client.Close() })
	return &caller{run: r, client: client, http: client.HTTPClient(c.Resource)}, nil
}

// demoCaller is a caller with service A's credentials.
func (r *run) demoCaller() (*caller, error) {
	c := r.Bootstrap.Clients["service-a"]
	return r.newCaller(c, sdk.Secret(c.ClientSecret))
}

// items calls a route of B that goes on while the auth servers are away.
func (c *caller) items() asking {
	return asking{name: loadItems, ask: func(ctx context.Context) Sample { return c.getItems(ctx, c.run.Bootstrap.EntryURL) }}
}

func (c *caller) getItems(ctx context.Context, base string) Sample {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/inventory/items", http.NoBody)
	if err != nil {
		return failure(err)
	}
	s, _ := send(c.http, request)
	return s
}

// strict calls a route of B that wants to know of every revocation. It reserves nothing, so that the stock stays as it is: B refuses a
// quantity of 0, and only after it has accepted the token.
func (c *caller) strict() asking {
	return asking{name: loadStrict, ask: func(ctx context.Context) Sample {
		request, err := reservation(ctx, c.run.Bootstrap.EntryURL)
		if err != nil {
			return failure(err)
		}
		s, _ := send(c.http, request, http.StatusUnprocessableEntity)
		return s
	}}
}

func reservation(ctx context.Context, base string) (*http.Request, error) {
	body := []byte(`{"item":"anvil","quantity":0}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/inventory/reservations", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", rand.Text())
	return request, nil
}

// warm lets every instance see the caller's token before something is broken.
func (c *caller) warm(ctx context.Context) error {
	for range 8 { // two gateways, in turn, and what they ask
		if err := c.run.until(ctx, 15*time.Second, func(ctx context.Context) error {
			for _, a := range []asking{c.items(), c.strict(), c.run.orders()} {
				if s := a.ask(ctx); s.Kind != OK {
					return fmt.Errorf("%s: %s", a.name, s)
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("the system does not work before anything was broken: %w", err)
		}
	}
	return nil
}
