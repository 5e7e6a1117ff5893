package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// single is the answer of one resource.
type single[T any] struct {
	Status   int
	ETag     string `header:"ETag" doc:"Names this state of the resource, for If-Match."`
	Location string `header:"Location" doc:"The address of what was created."`
	Body     T
}

// one returns the answer of a resource that has a revision. Its address is told where it was created.
func one[T any](body T, revision int64, status int, location ...string) *single[T] {
	out := &single[T]{Status: status, ETag: etag(revision), Body: body}
	if status == http.StatusCreated {
		out.Location = wire.Base + "/" + strings.Join(location, "/")
	}
	return out
}

// answer is one without an ETag.
type answer[T any] struct {
	Body T
}

func answered[T any](body T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: body}, nil
}

func statusOf(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// absent turns fault.NotFound into nothing.
func absent[T any](found *T, err error) (*T, error) {
	if errors.Is(err, fault.NotFound) {
		return nil, nil //nolint:nilnil // it is what is asked
	}
	return found, err
}

// order and descending read the parameter sort.
func order(sort string) auth.Order { return auth.Order(strings.TrimPrefix(sort, "-")) }

func descending(sort string) bool { return strings.HasPrefix(sort, "-") }

// optional returns nil for a time that is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func hitOf(h registry.Hit) wire.Hit { return wire.Hit{Tokens: h.Tokens, Exact: h.Exact} }

// textOf returns the ids as text; never nil.
func textOf[T interface{ String() string }](ids []T) []string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = id.String()
	}
	return text
}

// textUnlessZero returns an id as text, or nothing.
func textUnlessZero[T interface {
	comparable
	String() string
}](id T) string {
	if id == *new(T) {
		return ""
	}
	return id.String()
}
