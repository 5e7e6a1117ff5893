package drill

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
)

func signingKeyRotation() Drill {
	return Drill{
		Name: "signing-key-rotation",
		Does: "a signing key gets its successor, of an algorithm that nothing else uses",
		Expectation: "a `next` key is published long before it signs, an early one is refused, tokens of the old key go on, new ones have the new key: no request fails; " +
			"a compromised key is replaced at once and what it signed refused within 1 s; callers get over that by themselves, within 2 s",
		run: runKeyRotation,
	}
}

// keyDrill is a caller and a callee by tokens of one algorithm.
type keyDrill struct {
	*run
	office    *office
	algorithm string
	caller    up.Credential
	verifier  *sdk.Verifier
	callee    *callee

	mu   sync.Mutex
	kids map[string]int // of the tokens that the load was issued
}

func runKeyRotation(ctx context.Context, r *run) error {
	k := &keyDrill{run: r, kids: map[string]int{}}
	if err := k.prepare(ctx); err != nil {
		return err
	}
	keys, err := k.keys(ctx)
	if err != nil {
		return err
	}
	c, err := r.newCaller(k.caller, sdk.Secret(k.caller.ClientSecret))
	if err != nil {
		return err
	}
	call := asking{name: "calls with a JWT", ask: func(ctx context.Context) Sample {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.callee.url, http.NoBody)
		if err != nil {
			return failure(err)
		}
		s, _ := send(c.http, request)
		return s
	}}
	if err := r.until(ctx, healWithin, func(ctx context.Context) error {
		if s := call.ask(ctx); s.Kind != OK {
			return fmt.Errorf("call by a JWT: %s", s)
		}
		return nil
	}); err != nil {
		return err
	}
	t := r.start(ctx, call, k.issued())
	defer t.stop()
	if next := keys["next"]; next.ID != "" && time.Until(next.ActiveAt) < r.For {
		if err := k.watch(ctx, keys["current"], next); err != nil {
			return err
		}
		r.check(noFailures(t.stop()...))
		return nil
	}
	if err := k.publish(ctx, keys); err != nil {
		return err
	}
	r.check(noFailures(t.stop()...))
	return k.compromised(ctx, keys["current"], call)
}

// prepare makes an API and a client for it, and a service that verifies.
func (k *keyDrill) prepare(ctx context.Context) (err error) {
	if k.office, err = k.newOffice(); err != nil {
		return err
	}
	if k.algorithm, err = k.unused(ctx); err != nil {
		return err
	}
	api, err := k.office.api(ctx, k.algorithm)
	if err != nil {
		return err
	}
	if k.caller, err = k.office.client(ctx, api.ID, api.Identifier, drillScope); err != nil {
		return err
	}
	k.step("made an API with %s tokens, which nothing else uses, and a client for it", k.algorithm)
	gateway := k.Bootstrap.Clients["gateway"] // it may follow the feed
	k.verifier, err = sdk.NewVerifier(k.Bootstrap.Issuer, api.Identifier, sdk.WithCredentials(gateway.ClientID, sdk.Secret(gateway.ClientSecret)),
		sdk.WithLogger(k.quiet), sdk.WithAlgorithms(k.algorithm))
	if err != nil {
		return fmt.Errorf("make a verifier of the SDK: %w", err)
	}
	k.later("close the verifier", func(context.Context) error { return k.verifier.Close() })
	if k.callee, err = startCallee(ctx, k.verifier.HandlerFunc(sdk.RequireScope(drillScope), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})); err != nil {
		return err
	}
	k.later("close the service", func(context.Context) error { return k.callee.close() })
	return nil
}

// unused returns an algorithm by which no API's tokens are signed.
func (k *keyDrill) unused(ctx context.Context) (string, error) {
	var list wire.List[wire.API]
	if err := k.office.call(ctx, http.MethodGet, "/apis?limit=200", nil, &list); err != nil {
		return "", err
	}
	used := map[string]bool{}
	for _, api := range list.Items {
		used[api.Algorithm] = true
	}
	for _, algorithm := range []string{"EdDSA", "PS256", "RS256"} {
		if !used[algorithm] && list.NextCursor == "" {
			return algorithm, nil
		}
	}
	return "", notApplicable{"tokens of every algorithm are in use here, and the drill withdraws a key"}
}

// keys returns the current key of the algorithm and the next one, if there is one.
func (k *keyDrill) keys(ctx context.Context) (map[string]wire.Key, error) {
	var list wire.List[wire.Key]
	if err := k.office.call(ctx, http.MethodGet, "/keys", nil, &list); err != nil {
		return nil, err
	}
	found := map[string]wire.Key{}
	for _, key := range list.Items {
		if key.Algorithm == k.algorithm {
			found[key.State] = key
		}
	}
	return found, nil
}

// issued asks for tokens and remembers by which key they are signed.
func (k *keyDrill) issued() asking {
	return asking{name: loadToken, ask: func(ctx context.Context) Sample {
		s, token := k.token(ctx, k.Bootstrap.Issuer, k.caller)
		if s.Kind == OK {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.kids[keyOf(token)]++
		}
		return s
	}}
}

// keyOf returns the `kid` of a JWT (RFC 7515 §4.1.4), "" if there is none.
func keyOf(token string) string {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Key string `json:"kid"`
	}
	if err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.Key
}

// published: every auth server has the key in its key set.
func (k *keyDrill) published(ctx context.Context, key wire.Key) error {
	for _, server := range k.instances("auth-") {
		err := k.until(ctx, healWithin, func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/oauth2/jwks", http.NoBody)
			if err != nil {
				return fmt.Errorf("ask for the key set: %w", err)
			}
			if s, body := send(k.http, request); s.Kind != OK || !strings.Contains(string(body), `"`+key.ID+`"`) {
				return fmt.Errorf("%s has not published %s: %s", server.Name, key.ID, s)
			}
			return nil
		})
		if err != nil && ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // the caller's own
		}
		k.check(holds(server.Name+" publishes the next key before it signs", err == nil, orOK(err)))
	}
	return nil
}
