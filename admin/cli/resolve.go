package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/countersign/countersign/admin/wire"
)

var (
	clientIDForm = regexp.MustCompile(`^cl_[0-9A-Za-z]{22}$`)
	targetForm   = regexp.MustCompile(`^([a-z]+_)?[0-9A-Za-z]{22}(/api_[0-9A-Za-z]{22}){0,2}$`) // of an event: any id, or a grant's two or three
	apiIDForm    = regexp.MustCompile(`^api_[0-9A-Za-z]{22}$`)
)

// client returns the id of the client that the user names by id or name.
func (r *remote) client(ctx context.Context, named string) (string, error) {
	if clientIDForm.MatchString(named) {
		return named, nil
	}
	found, err := lookUp[wire.Client](ctx, r, kind{"client", "/clients", "name"}, named)
	return found.ID, err
}

// apiID returns the id of the API that the user names by id or identifier.
func (r *remote) apiID(ctx context.Context, named string) (string, error) {
	if apiIDForm.MatchString(named) {
		return named, nil
	}
	found, err := lookUp[wire.API](ctx, r, kind{"API", "/apis", "identifier"}, named)
	return found.ID, err
}

// pair resolves both ends of a grant.
func (r *remote) pair(ctx context.Context, clientName, apiName string) (client, api string, err error) {
	if client, err = r.client(ctx, clientName); err != nil {
		return "", "", err
	}
	api, err = r.apiID(ctx, apiName)
	return client, api, err
}

// kind is a kind of thing that people know by other names than ids.
type kind struct {
	name   string
	path   string // of the list
	member string // by which it is known
}

// lookUp finds the one thing that is known as value.
func lookUp[T any](ctx context.Context, r *remote, k kind, value string) (one T, err error) {
	if value == "" {
		return one, usagef("the %s is named by an empty word", k.name)
	}
	items, _, err := r.list(ctx, k.path, where(k.member, value), 2)
	if denied, ok := errors.AsType[*remoteError](err); ok && denied.status == http.StatusForbidden {
		return one, fmt.Errorf("look up %s %q: %w; named by its id it need not be looked up", k.name, value, err)
	}
	if err != nil {
		return one, err
	}
	if len(items) != 1 {
		return one, &remoteError{status: http.StatusNotFound, what: fmt.Sprintf("there is no %s %q", k.name, value)}
	}
	return decode[T](items[0])
}
