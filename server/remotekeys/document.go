package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

// document is a set as it was written.
type document struct {
	text  []byte
	asked time.Time
}

// keep makes an answer the document that is held, unless there are no keys to be read in it.
func (h *held) keep(got answer, asked time.Time) {
	if _, _, err := jose.ParseKeySet(got.Body); err == nil {
		h.document.Store(&document{got.document, asked})
	}
}

// current returns what is held, or nil.
func (h *held) current() []byte {
	if d := h.document.Load(); d != nil && time.Since(d.asked) < keep {
		return d.text
	}
	return nil
}

// Document returns the source's set, or bundle, as it was written, for those who look for more in it than keys that sign: certificates. What is
// held is returned without asking anybody, else it waits as Key does. An error is no verdict.
func (k *Keys) Document(ctx context.Context, source Source) ([]byte, error) {
	if source.URL == "" {
		return []byte(source.Inline), nil
	}
	h := k.of(source)
	if h == nil {
		return nil, errEnded()
	}
	if text := h.current(); text != nil {
		return text, nil
	}
	return h.ask(ctx)
}

// NewerDocument is Document for who does not find in that what he looks for: it asks again, unless that was done within the last 10 seconds.
func (k *Keys) NewerDocument(ctx context.Context, source Source) ([]byte, error) {
	if source.URL == "" {
		return []byte(source.Inline), nil
	}
	h := k.of(source)
	if h == nil {
		return nil, errEnded()
	}
	return h.ask(ctx)
}

// ask has the cache ask for a key that no set has.
func (h *held) ask(ctx context.Context) ([]byte, error) {
	if _, err := h.cache.Key(ctx, "\x00", jose.ES256); err != nil && !errors.Is(err, jwks.ErrUnknownKey) {
		return nil, err
	}
	if text := h.current(); text != nil {
		return text, nil
	}
	return nil, fmt.Errorf("%w: no set was fetched yet", jwks.ErrUnavailable)
}

func errEnded() error { return fmt.Errorf("%w: the server ends", jwks.ErrUnavailable) }
