package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/countersign/countersign/admin/wire"
)

// names tells clients and APIs by the names that people know.
type names map[string]string

func (n names) of(id string) string {
	if name, ok := n[id]; ok {
		return name
	}
	return id
}

// fewNames is up to how many ids are looked up one by one; more than that are cheaper found in the whole lists.
const fewNames = 20

// names finds the names of the clients and APIs with these ids, for people only. Who may not read them sees ids.
func (s *session) names(ctx context.Context, ids []string) (names, error) {
	known := names{}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if s.print.machine() || len(ids) == 0 {
		return known, nil
	}
	if len(ids) > fewNames {
		return known, errors.Join(
			learn(ctx, s.api, "/clients", func(c wire.Client) { known[c.ID] = c.Name }),
			learn(ctx, s.api, "/apis", func(api wire.API) { known[api.ID] = api.Identifier }),
			learn(ctx, s.api, "/trusted-issuers", func(i wire.TrustedIssuer) { known[i.ID] = i.Name }))
	}
	for _, id := range ids {
		at := path("clients", id)
		switch {
		case apiIDForm.MatchString(id):
			at = path("apis", id)
		case issuerIDForm.MatchString(id):
			at = path("trusted-issuers", id)
		}
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
		if found, ok := errors.AsType[*remoteError](err); ok && (found.status == http.StatusForbidden || found.status == http.StatusNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		thing, err := decode[struct{ Name, Identifier string }](got.body)
		if err != nil {
			return nil, err
		}
		known[id] = cmp.Or(thing.Identifier, thing.Name)
	}
	return known, nil
}

func learn[T any](ctx context.Context, r *remote, at string, keep func(T)) error {
	items, _, err := r.list(ctx, at, nil, 0)
	if denied, ok := errors.AsType[*remoteError](err); ok && denied.status == http.StatusForbidden {
		return nil
	}
	if err != nil {
		return err
	}
	for _, item := range items {
		one, err := decode[T](item)
		if err != nil {
			return err
		}
		keep(one)
	}
	return nil
}

// showNamed prints a list whose items name clients and APIs by the ids that ids returns.
func showNamed[T any](ctx context.Context, s *session, q listing, ids func(T) []string, columns func(names) []column[T]) error {
	items, more, err := s.api.list(ctx, q.path, q.query, q.limit)
	if err != nil {
		return err
	}
	var all []string
	rows := make([]T, len(items))
	for i, item := range items {
		if rows[i], err = decode[T](item); err != nil {
			return err
		}
		all = append(all, ids(rows[i])...)
	}
	known, err := s.names(ctx, slices.DeleteFunc(all, func(id string) bool { return id == "" }))
	if err != nil {
		return err
	}
	if q.sorted {
		sortRows(rows, columns(known))
	}
	if s.print.machine() {
		err = printList(s.print, items, columns(known))
	} else {
		err = printTable(s.print.out, rows, columns(known))
	}
	if err == nil {
		s.noteMore(more, len(items))
	}
	return err
}

// printNamed prints one thing that names clients and APIs by the ids that ids returns.
func printNamed[T any](ctx context.Context, s *session, body json.RawMessage, ids func(T) []string, rows func(T, names) []row) error {
	one, err := decode[T](body)
	if err != nil {
		return err
	}
	known, err := s.names(ctx, ids(one))
	if err != nil {
		return err
	}
	return printOne(s.print, body, func(one T) []row { return rows(one, known) })
}

// filter makes a query of a client and an API, each named as the user does, or empty.
func (s *session) filter(ctx context.Context, client, api string) (url.Values, error) {
	if client != "" {
		id, err := s.api.client(ctx, client)
		if err != nil {
			return nil, err
		}
		client = id
	}
	if api != "" {
		id, err := s.api.apiID(ctx, api)
		if err != nil {
			return nil, err
		}
		api = id
	}
	return where("client_id", client, "api_id", api), nil
}
