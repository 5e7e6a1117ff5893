package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newExchangeCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "exchange", Short: "Manage grants to exchange tokens: which service may call on in a chain",
		Long: "Manage grants to exchange tokens: CLIENT, which is called with tokens for SOURCE, gets tokens for TARGET\n" +
			"for them and calls on in the name of its caller (RFC 8693). CLIENT is a name or id, SOURCE and TARGET are\n" +
			"identifiers or ids of APIs.",
	}
	cmd.AddCommand(newExchangeListCmd(a), newExchangeShowCmd(a), newExchangePutCmd(a), newExchangeDeleteCmd(a))
	return cmd
}

func newExchangeListCmd(a *app) *cobra.Command {
	var client, source, target string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List grants to exchange tokens", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign exchange list --client orders",
	}
	cmd.Flags().StringVar(&client, "client", "", "only those of this `client`")
	cmd.Flags().StringVar(&source, "source", "", "only those of tokens for this `API`")
	cmd.Flags().StringVar(&target, "target", "", "only those for tokens for this `API`")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most this many; 0: all")
	a.completeFlag(cmd, "client", clientNames)
	a.completeFlag(cmd, "source", apiIdentifiers)
	a.completeFlag(cmd, "target", apiIdentifiers)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		query := url.Values{}
		for name, named := range map[string]string{"source_api": source, "target_api": target} {
			if named == "" {
				continue
			}
			id, err := s.api.apiID(ctx, named)
			if err != nil {
				return err
			}
			query.Set(name, id)
		}
		if client != "" {
			id, err := s.api.client(ctx, client)
			if err != nil {
				return err
			}
			query.Set("client_id", id)
		}
		return showNamed(ctx, s, listing{path: "/exchanges", limit: limit, query: query, sorted: true}, exchangeEnds, func(known names) []column[wire.Exchange] {
			return []column[wire.Exchange]{
				{"CLIENT", func(x wire.Exchange) string { return known.of(x.Client) }},
				{"SOURCE", func(x wire.Exchange) string { return known.of(x.Source) }},
				{"TARGET", func(x wire.Exchange) string { return known.of(x.Target) }},
				{"SCOPES", func(x wire.Exchange) string { return brief(exchangeScopes(x.Scopes)) }},
			}
		})
	})
	return cmd
}

func exchangeEnds(x wire.Exchange) []string { return []string{x.Client, x.Source, x.Target} }

// exchangeScopes are scopes as exchange put reads them.
func exchangeScopes(list []wire.ExchangeScope) (texts []string) {
	for _, s := range list {
		text := s.Scope
		if s.Needs != s.Scope {
			text = s.Needs + "=" + s.Scope
		}
		texts = append(texts, text)
	}
	return texts
}

func exchangeRows(p *printer) func(wire.Exchange, names) []row {
	return func(x wire.Exchange, known names) []row {
		return []row{
			{"client", named(known[x.Client], x.Client)},
			{"source", named(known[x.Source], x.Source)},
			{"target", named(known[x.Target], x.Target)},
			{"scopes", strings.Join(exchangeScopes(x.Scopes), " ")},
			{"created", p.moment(x.Created)},
			{"updated", p.moment(x.Updated)},
		}
	}
}

// exchangePath resolves the three names of a grant.
func (r *remote) exchangePath(ctx context.Context, args []string) (string, error) {
	client, source, err := r.pair(ctx, args[0], args[1])
	if err != nil {
		return "", err
	}
	target, err := r.apiID(ctx, args[2])
	return path("clients", client, "exchanges", source, target), err
}

// noExchange says what does not exist, where the server says no more than that.
func noExchange(err error, args []string) error {
	if found, ok := errors.AsType[*remoteError](err); ok && found.status == http.StatusNotFound {
		return &remoteError{status: found.status, what: fmt.Sprintf("%s may not exchange tokens for %s for those for %s: `countersign exchange list` shows all", args[0], args[1], args[2])}
	}
	return err
}

func newExchangeShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT SOURCE TARGET", Short: "Show a grant to exchange tokens", Args: arguments,
		Example:           "  countersign exchange show orders https://orders.example https://inventory.example",
		ValidArgsFunction: a.complete(clientNames, apiIdentifiers, apiIdentifiers),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			at, err := s.api.exchangePath(ctx, args)
			if err != nil {
				return err
			}
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
			if err != nil {
				return noExchange(err, args)
			}
			return printNamed(ctx, s, got.body, exchangeEnds, exchangeRows(s.print))
		}),
	}
}

func newExchangePutCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "put CLIENT SOURCE TARGET SCOPE...", Short: "Let a client exchange tokens", Args: arguments,
		Long: "Let a client exchange the tokens that it is called with, which are for SOURCE, for tokens for TARGET. It\n" +
			"has to serve SOURCE, too (`countersign api serve SOURCE CLIENT`). SCOPE is one that both have, or\n" +
			"NEEDS=SCOPE: whoever has NEEDS of the source gets SCOPE of the target. What is not named is taken away,\n" +
			"with the client's tokens for the target, after a question.",
		Example: "  countersign exchange put orders https://orders.example https://inventory.example \\\n" +
			"    orders:read=inventory:read orders:write=inventory:write",
		ValidArgsFunction: a.complete(clientNames, apiIdentifiers, apiIdentifiers),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			at, err := s.api.exchangePath(ctx, args)
			if err != nil {
				return err
			}
			return s.putExchange(ctx, at, args[3:])
		}),
	})
}

func (s *session) putExchange(ctx context.Context, at string, words []string) error {
	body := wire.ExchangeBody{}
	for _, word := range words {
		needs, scope, two := strings.Cut(word, "=")
		if !two {
			scope = needs
		}
		if needs == "" || scope == "" {
			return usagef("SCOPE is %q: allowed is SCOPE, or NEEDS=SCOPE", word)
		}
		body.Scopes = append(body.Scopes, wire.ExchangeScope{Scope: scope, Needs: needs})
	}
	put := request{method: http.MethodPut, path: at, body: body}
	now, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
	if found, ok := errors.AsType[*remoteError](err); ok && found.status == http.StatusNotFound {
		put.absent = true
	} else if err != nil {
		return err
	} else {
		put.match = now.etag
		has, err := decode[wire.Exchange](now.body)
		if err != nil {
			return err
		}
		lost := slices.DeleteFunc(has.Scopes, func(scope wire.ExchangeScope) bool { return slices.Contains(body.Scopes, scope) })
		if len(lost) > 0 {
			if err := s.confirm("take %s away, and the client's tokens for the target back", strings.Join(exchangeScopes(lost), " ")); err != nil {
				return err
			}
		}
	}
	stored, err := s.api.do(ctx, put)
	if err != nil {
		return err
	}
	return printNamed(ctx, s, stored.body, exchangeEnds, exchangeRows(s.print))
}

func newExchangeDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete CLIENT SOURCE TARGET", Short: "Let a client exchange tokens no longer, and take those that it got back", Args: arguments,
		Example:           "  countersign exchange delete orders https://orders.example https://inventory.example --yes",
		ValidArgsFunction: a.complete(clientNames, apiIdentifiers, apiIdentifiers),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			at, err := s.api.exchangePath(ctx, args)
			if err != nil {
				return err
			}
			return noExchange(s.remove(ctx, at, "let "+args[0]+" exchange tokens for "+args[1]+" for those for "+args[2]+" no longer"), args)
		}),
	})
}
