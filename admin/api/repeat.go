package api

import (
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/registry"
)

const (
	idempotencyKey = "Idempotency-Key"
	minKey, maxKey = 16, 255
)

// once makes the same POST under the same Idempotency-Key one.
func (c *call) once(r *http.Request, op *operation) (err error) {
	given := r.Header[idempotencyKey]
	if !op.repeatable() || len(given) == 0 {
		return nil
	}
	if len(given) > 1 || len(given[0]) < minKey || len(given[0]) > maxKey || strings.ContainsFunc(given[0], notPrintable) {
		return fault.New(fault.InvalidRequest, "must be 16 to 255 printable ASCII characters, new for each change").At(idempotencyKey)
	}
	if c.repeat, err = registry.NewRepeat(c.actor, r.Method+" "+r.URL.RequestURI(), given[0], c.body); err != nil {
		return err
	}
	c.registry = c.registry.Once(c.repeat)
	return nil
}

// replayed says in the answer that it is the one of an earlier call.
func (c *call) replayed() {
	if c.repeat != nil && c.repeat.Replayed() {
		c.header.Set("Idempotent-Replayed", "true")
	}
}

func notPrintable(c rune) bool { return c < ' ' || c > '~' }
