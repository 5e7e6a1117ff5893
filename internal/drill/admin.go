package drill

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
)

// office administers the running system by its admin API, as the administrator of bootstrap.json.
type office struct {
	run  *run
	http *http.Client
}

// newOffice returns an office that is closed when the drill ends.
func (r *run) newOffice() (*office, error) {
	c := r.Bootstrap.Clients["admin"]
	client, err := sdk.New(r.Bootstrap.Issuer, c.ClientID, sdk.Secret(c.ClientSecret), sdk.WithLogger(r.quiet))
	if err != nil {
		return nil, fmt.Errorf("make a client of the SDK: %w", err)
	}
	r.later("close the administrator's client", func(context.Context) error { return client.Close() })
	return &office{run: r, http: client.HTTPClient(wire.Audience)}, nil
}

// call sends body as JSON, if it is not nil, and reads the answer into answer, if that is not nil. A PUT creates, and a
// DELETE is forced. What the API refuses is a *refusal.
func (o *office) call(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, o.run.Bootstrap.AdminURL+wire.Base+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	switch method {
	case http.MethodPut:
		request.Header.Set("If-None-Match", "*")
	case http.MethodDelete:
		request.Header.Set("If-Match", "*")
	case http.MethodPost:
		request.Header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := o.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return &refusal{what: method + " " + path, status: resp.StatusCode, detail: problem(got)}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(got, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// refusal is an answer of the admin API that is no success.
type refusal struct {
	what   string
	status int
	detail string
}

func (e *refusal) Error() string { return fmt.Sprintf("%s: %d %s", e.what, e.status, e.detail) }

// apiID returns the id of an API.
func (o *office) apiID(ctx context.Context, identifier string) (string, error) {
	var list wire.List[wire.API]
	if err := o.call(ctx, http.MethodGet, "/apis?identifier="+url.QueryEscape(identifier), nil, &list); err != nil {
		return "", err
	}
	if len(list.Items) != 1 {
		return "", notApplicable{"the running system has no API " + identifier}
	}
	return list.Items[0].ID, nil
}

// temporary is the prefix of the names of what a drill makes and removes.
const temporary = "drill-"

// client makes a client that may call the API with all these scopes. It is removed when the drill ends.
func (o *office) client(ctx context.Context, api, resource string, scopes ...string) (c up.Credential, err error) {
	var made wire.Client
	name := temporary + strings.ToLower(rand.Text()[:8])
	if err := o.call(ctx, http.MethodPost, "/clients", wire.ClientBody{Name: name, Description: "Made by a drill."}, &made); err != nil {
		return c, err
	}
	o.run.later("delete the client "+name, func(ctx context.Context) error {
		return o.call(ctx, http.MethodDelete, "/clients/"+made.ID, nil, nil)
	})
	if err := o.call(ctx, http.MethodPut, "/clients/"+made.ID+"/grants/"+api, wire.GrantBody{Scopes: scopes}, nil); err != nil {
		return c, err
	}
	secret, err := o.secret(ctx, made.ID)
	return up.Credential{ClientID: made.ID, ClientSecret: secret.Value, Resource: resource}, err
}

// secret makes a further secret for a client.
func (o *office) secret(ctx context.Context, client string) (made wire.NewSecret, err error) {
	err = o.call(ctx, http.MethodPost, "/clients/"+client+"/secrets", wire.SecretBody{}, &made)
	return made, err
}

// api makes an API whose tokens are JWTs by this algorithm. It is removed when the drill ends.
func (o *office) api(ctx context.Context, algorithm string) (made wire.API, err error) {
	name := temporary + strings.ToLower(rand.Text()[:8])
	const lifetime = 10 * time.Minute
	err = o.call(ctx, http.MethodPost, "/apis", wire.APIBody{
		Identifier: "https://" + name + ".demo.internal", Name: name, Scopes: []wire.Scope{{Name: drillScope}},
		Format: "jwt", Algorithm: algorithm, Lifetime: int64(lifetime.Seconds()),
	}, &made)
	if err == nil {
		o.run.later("delete the API "+name, func(ctx context.Context) error {
			return o.call(ctx, http.MethodDelete, "/apis/"+made.ID, nil, nil)
		})
	}
	return made, err
}

// drillScope is the only scope of an API that a drill makes.
const drillScope = "drill:call"
