package remotekeys

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

// Document returns the source's set as it was written, for those who look for more in it than keys that sign: certificates. What is held is
// returned without asking anybody, else it waits as Key does. An error is no verdict.
func (k *Keys) Document(ctx context.Context, source Source) ([]byte, error) {
	if source.URL == "" {
		return []byte(source.Inline), nil
	}
	h := k.of(source)
	if h == nil {
		return nil, errEnded()
	}
	if h.document.Load() == nil {
		_, _ = h.cache.Key(ctx, "", jose.ES256) // waits for the first set, whatever is in it
	}
	if document := h.document.Load(); document != nil {
		return *document, nil
	}
	return nil, fmt.Errorf("%w: no set was fetched yet", jwks.ErrUnavailable)
}

func errEnded() error { return fmt.Errorf("%w: the server ends", jwks.ErrUnavailable) }
