package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newGrantCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "grant", Short: "Manage grants: who may call whom, with which scopes",
		Long: "Manage grants: who may call whom, with which scopes. Nothing is allowed that no grant names. CLIENT is a name\n" +
			"or id, API an identifier or id.",
	}
	cmd.AddCommand(newGrantListCmd(a), newGrantShowCmd(a), newGrantPutCmd(a), newGrantDeleteCmd(a))
	return cmd
}

func newGrantListCmd(a *app) *cobra.Command {
	var client, api string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List grants", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign grant list --client orders\n  countersign grant list --api https://inventory.example -o json",
	}
	cmd.Flags().StringVar(&client, "client", "", "only those of this `client`")
	cmd.Flags().StringVar(&api, "api", "", "only those on this `API`")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most this many; 0: all")
	a.completeFlag(cmd, "client", clientNames)
	a.completeFlag(cmd, "api", apiIdentifiers)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		query, err := s.filter(ctx, client, api)
		if err != nil {
			return err
		}
		return showNamed(ctx, s, listing{path: "/grants", limit: limit, query: query, sorted: true}, grantEnds, func(known names) []column[wire.Grant] {
			return grantColumns(s.print, known)
		})
	})
	return cmd
}

func grantColumns(p *printer, known names) []column[wire.Grant] {
	return []column[wire.Grant]{
		{"CLIENT", func(g wire.Grant) string { return known.of(g.Client) }},
		{"API", func(g wire.Grant) string { return known.of(g.API) }},
		{"LAST USED", func(g wire.Grant) string { return p.since(g.LastUsed, "never") }},
		{"ISSUED", func(g wire.Grant) string { return strconv.FormatInt(g.Tokens, 10) }},
		{"SCOPES", func(g wire.Grant) string { return brief(g.Scopes) }},
	}
}

func grantEnds(g wire.Grant) []string {
	if g.MayAct != "" {
		return []string{g.Client, g.API, g.MayAct}
	}
	return []string{g.Client, g.API}
}

func grantRows(p *printer) func(wire.Grant, names) []row {
	return func(g wire.Grant, known names) []row {
		return []row{
			{"client", known[g.Client]},
			{"client_id", g.Client},
			{"api", known[g.API]},
			{"api_id", g.API},
			{"scopes", strings.Join(g.Scopes, " ")},
			{"exchanged by", known.of(g.MayAct)},
			{"created", p.moment(g.Created)},
			{"updated", p.moment(g.Updated)},
			{"last used", p.momentOr(g.LastUsed, "never")},
			{"issued tokens", strconv.FormatInt(g.Tokens, 10)},
		}
	}
}

func newGrantShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT API", Short: "Show a grant", Args: arguments, ValidArgsFunction: a.complete(clientNames, apiIdentifiers),
		Example: "  countersign grant show orders https://inventory.example",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			client, api, err := s.api.pair(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: path("clients", client, "grants", api)})
			if err != nil {
				return noGrant(err, args[0], args[1])
			}
			return printNamed(ctx, s, got.body, grantEnds, grantRows(s.print))
		}),
	}
}

// noGrant says what does not exist, where the server says no more than that.
func noGrant(err error, client, api string) error {
	if found, ok := errors.AsType[*remoteError](err); ok && found.status == http.StatusNotFound {
		return &remoteError{status: found.status, what: fmt.Sprintf("there is no grant of %s on %s: `countersign grant list` shows all", client, api)}
	}
	return err
}

func newGrantPutCmd(a *app) *cobra.Command {
	var mayAct string
	cmd := a.confirmable(&cobra.Command{
		Use: "put CLIENT API SCOPE...", Short: "Let a client call an API with these scopes", Args: arguments,
		Long: "Let a client call an API with these scopes, and no others: a scope that the grant held and that is not\n" +
			"named is taken away, with the tokens of the grant, after a question.",
		Example:           "  countersign grant put orders https://inventory.example inventory:read inventory:write",
		ValidArgsFunction: a.complete(clientNames, apiIdentifiers, scopesOf, scopesOf, scopesOf, scopesOf, scopesOf, scopesOf),
	})
	cmd.Flags().StringVar(&mayAct, "may-act", "", "the only `client` that may exchange its tokens; empty: whoever may; by default what it was")
	a.completeFlag(cmd, "may-act", clientNames)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		client, api, err := s.api.pair(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		body := wire.GrantBody{Scopes: args[2:]}
		if mayAct != "" {
			if body.MayAct, err = s.api.client(ctx, mayAct); err != nil {
				return err
			}
		}
		return s.putGrant(ctx, path("clients", client, "grants", api), body, !given(cmd, "may-act"))
	})
	return cmd
}

// putGrant puts a grant; with keep, whoever alone may exchange its tokens stays.
func (s *session) putGrant(ctx context.Context, at string, body wire.GrantBody, keep bool) error {
	put := request{method: http.MethodPut, path: at}
	now, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
	if found, ok := errors.AsType[*remoteError](err); ok && found.status == http.StatusNotFound {
		put.absent = true
	} else if err != nil {
		return err
	} else {
		put.match = now.etag
		grant, err := decode[wire.Grant](now.body)
		if err != nil {
			return err
		}
		if keep {
			body.MayAct = grant.MayAct
		}
		lost := slices.DeleteFunc(grant.Scopes, func(scope string) bool { return slices.Contains(body.Scopes, scope) })
		if len(lost) > 0 {
			if err := s.confirm("take %s from the grant, and all its tokens back", strings.Join(lost, " ")); err != nil {
				return err
			}
		}
	}
	put.body = body
	stored, err := s.api.do(ctx, put)
	if err != nil {
		return err
	}
	return printNamed(ctx, s, stored.body, grantEnds, grantRows(s.print))
}

// scopesOf offers what the API that is the second argument has.
func scopesOf(ctx context.Context, r *remote, before []string, _ string) []string {
	id, err := r.apiID(ctx, before[1])
	if err != nil {
		return nil
	}
	got, err := r.do(ctx, request{method: http.MethodGet, path: path("apis", id)})
	if err != nil {
		return nil
	}
	api, err := decode[wire.API](got.body)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(scopeNames(api.Scopes), func(name string) bool { return slices.Contains(before[2:], name) })
}

func newGrantDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete CLIENT API", Short: "Take a grant away, and its tokens back", Args: arguments,
		Example: "  countersign grant delete orders https://inventory.example --yes", ValidArgsFunction: a.complete(clientNames, apiIdentifiers),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			client, api, err := s.api.pair(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			err = s.remove(ctx, path("clients", client, "grants", api), "delete the grant of "+named(args[0], client)+" on "+named(args[1], api))
			return noGrant(err, args[0], args[1])
		}),
	})
}
