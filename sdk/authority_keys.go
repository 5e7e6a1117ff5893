package sdk

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/jwks"
)

// keySetLimit is how many bytes a key set may have.
const keySetLimit = 256 << 10

// keySet gets the server's published keys, RFC 7517 §5.
func (a *authority) keySet(ctx context.Context) (jwks.Answer, error) {
	m, err := a.metadata(ctx)
	if err != nil {
		return jwks.Answer{}, err
	}
	if m.JWKSURI == "" {
		return jwks.Answer{}, fmt.Errorf("the metadata of %s names no jwks_uri", a.identifier)
	}
	answer, err := a.server.Do(ctx, issuer.Request{
		Operation: OperationKeys, Method: http.MethodGet, URL: m.JWKSURI, Limit: keySetLimit,
		Header: http.Header{"Accept": {"application/jwk-set+json, application/json"}},
	})
	if err != nil {
		return jwks.Answer{}, err
	}
	if answer.Status != http.StatusOK {
		return jwks.Answer{}, fmt.Errorf("%s answered %d", m.JWKSURI, answer.Status)
	}
	age, said := answer.MaxAge()
	if said {
		age = max(age, time.Second) // 0 would mean that nothing was said
	}
	return jwks.Answer{Body: answer.Body, MaxAge: age}, nil
}
