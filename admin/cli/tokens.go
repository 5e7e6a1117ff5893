package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newTokenCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Get a token; list and revoke the tokens of others",
		Long: "Get a token as a client would; list and revoke the tokens of others. JTI is a token's id, never the\n" +
			"token itself: for that there is `countersign secret revoke --leaked`.",
	}
	cmd.AddCommand(newTokenGetCmd(a), newTokenProofCmd(a), newTokenListCmd(a), newTokenShowCmd(a), newTokenExplainCmd(a), newTokenRevokeCmd(a))
	return cmd
}

func newTokenGetCmd(a *app) *cobra.Command {
	var resource, scope, method string
	var by strong
	cmd := &cobra.Command{
		Use: "get", Short: "Get an access token as a client would", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Get an access token as a client would, by the client credentials grant (RFC 6749 §4.4), and print it\n" +
			"alone. The client is the one of --client-id and --client-secret-file, or the profile's; the issuer that\n" +
			"of --issuer, or the profile's. -o json prints the whole answer of the token endpoint.\n\n" +
			"In place of a secret the client may have a private key (--key-file), a certificate (--client-cert and\n" +
			"--client-key), or a JWT of another issuer, such as a Kubernetes service account's (--assertion-file). With\n" +
			"--dpop-key-file the token is bound to that key: `countersign token proof` makes the proof for a request.",
		Example: "  countersign token get --client-id cl_0vN6d1hYQm3ZJ4cW8kXb2T --client-secret-file orders.secret --resource https://inventory.example\n" +
			"  countersign token get --client-id cl_0vN6d1hYQm3ZJ4cW8kXb2T --key-file orders.pem --dpop-key-file orders.pem\n" +
			"  countersign token get --resource urn:countersign:admin | sed 's/^/Authorization: Bearer /' | curl -H @- http://127.0.0.1:9090/admin/v1/clients",
	}
	cmd.Flags().StringVar(&resource, "resource", "", "`identifier` of the API to call; by default the client's default resource")
	cmd.Flags().StringVar(&scope, "scope", "", "`scopes` to ask for, separated by spaces; by default all that are granted")
	choiceFlag(cmd, &method, "auth-method", "`method` by which the client of --client-id authenticates: client_secret_basic or client_secret_post", basic, post)
	a.completeFlag(cmd, "resource", apiIdentifiers)
	by.bind(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		if err := by.check(cmd); err != nil {
			return err
		}
		if method != "" {
			s.api.issuer.at.method = method
		}
		get := s.api.issuer.token
		if by.given(cmd.Flags()) {
			get = func(ctx context.Context, resource, scope string) (accessToken, []byte, error) {
				return by.token(ctx, s, resource, scope)
			}
		}
		token, body, err := get(ctx, resource, scope)
		if err != nil {
			return err
		}
		if s.print.machine() {
			return s.print.raw(body)
		}
		s.print.line("%s", token.Value)
		return nil
	})
	return cmd
}

func newTokenListCmd(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list CLIENT", Short: "List the living tokens of a client", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Example: "  countersign token list orders --limit 20",
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most this many; 0: all")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		id, err := s.api.client(ctx, args[0])
		if err != nil {
			return err
		}
		apis := func(t wire.Token) []string { return []string{t.API} }
		return showNamed(ctx, s, listing{path: path("clients", id, "tokens"), limit: limit}, apis, func(known names) []column[wire.Token] {
			return []column[wire.Token]{
				{"JTI", func(t wire.Token) string { return t.ID }},
				{"API", func(t wire.Token) string { return known.of(t.API) }},
				{"SCOPE", func(t wire.Token) string { return brief(strings.Fields(t.Scope)) }},
				{"ISSUED", func(t wire.Token) string { return s.print.ago(t.Issued) }},
				{"EXPIRES", func(t wire.Token) string { return s.print.ago(t.Expires) }},
				{"SECRET ID", func(t wire.Token) string { return t.Secret }},
			}
		})
	})
	return cmd
}

func newTokenShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show JTI", Short: "Show an issued token, without what its bearer shows", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign token show 1JmXbU0a6dYw8cPz4kQe2r",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: path("tokens", args[0])})
			if err != nil {
				return err
			}
			ends := func(t wire.Token) []string { return []string{t.Client, t.API} }
			return printNamed(ctx, s, got.body, ends, func(t wire.Token, known names) []row {
				return []row{
					{"jti", t.ID},
					{"status", t.Status},
					{"client", known[t.Client]},
					{"client_id", t.Client},
					{"secret_id", t.Secret},
					{"api", known[t.API]},
					{"api_id", t.API},
					{"scope", t.Scope},
					{"issued", s.print.moment(t.Issued)},
					{"expires", s.print.moment(t.Expires)},
				}
			})
		}),
	}
}

// set is the flags that name a set of tokens.
type set struct {
	client, api, secret, key string
	all                      bool
}

func newTokenRevokeCmd(a *app) *cobra.Command {
	var of set
	cmd := &cobra.Command{
		Use: "revoke [JTI]", Short: "Take a token back, or a set of tokens", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Take a token back, or every token of a set that was issued until now: of a client, for an API, of a\n" +
			"grant (--client with --api), of a secret, of a signing key, or all there are. Clients get new ones where\n" +
			"they still may.",
		Example: "  countersign token revoke 1JmXbU0a6dYw8cPz4kQe2r\n  countersign token revoke --client orders --api https://inventory.example --yes",
	}
	flags := cmd.Flags()
	flags.StringVar(&of.client, "client", "", "those of this `client`")
	flags.StringVar(&of.api, "api", "", "those for this `API`; with --client, those of the grant")
	flags.StringVar(&of.secret, "secret", "", "those that were got with the secret of this `id`")
	flags.StringVar(&of.key, "key", "", "JWTs that the key of this `kid` signed; the key is withdrawn")
	flags.BoolVar(&of.all, "all", false, "all tokens of all clients")
	a.completeFlag(cmd, "client", clientNames)
	a.completeFlag(cmd, "api", apiIdentifiers)
	a.completeFlag(cmd, "key", keyIDs)
	a.confirmable(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if len(args) == 1 {
			if of != (set{}) {
				return usagef("a JTI names one token: it goes without --client, --api, --secret, --key and --all")
			}
			return s.revokeOne(ctx, args[0])
		}
		return s.revokeSet(ctx, cmd, of)
	})
	return cmd
}

func (s *session) revokeOne(ctx context.Context, jti string) error {
	done, err := s.api.do(ctx, request{method: http.MethodDelete, path: path("tokens", jti)})
	if err != nil {
		return err
	}
	return printDone(s.print, done.body, func(any) string { return "token " + jti + " is taken back" })
}

func (s *session) revokeSet(ctx context.Context, cmd *cobra.Command, of set) error {
	if of == (set{}) {
		return usagef("what to take back is missing: a JTI, or one of --client, --api, --secret, --key, --all")
	}
	kinds := []string{"client", "secret", "key", "all"}
	if of.client == "" {
		kinds[0] = "api"
	} else if of.secret+of.key != "" || of.all {
		return usagef("--client goes with --api alone")
	}
	if err := apart(cmd, kinds...); err != nil {
		return err
	}
	query, err := s.filter(ctx, of.client, of.api)
	if err != nil {
		return err
	}
	body := wire.RevocationBody{Client: query.Get("client_id"), API: query.Get("api_id"), Secret: of.secret, Key: of.key, All: of.all}
	if err := s.confirm("take back %s", of.text()); err != nil {
		return err
	}
	done, err := s.api.do(ctx, request{method: http.MethodPost, path: "/revocations", body: body})
	if err != nil {
		return err
	}
	return s.revoked(done.body)
}

func (of set) text() string {
	switch {
	case of.client != "" && of.api != "":
		return "all tokens of client " + of.client + " for " + of.api
	case of.client != "":
		return "all tokens of client " + of.client
	case of.api != "":
		return "all tokens for " + of.api
	case of.secret != "":
		return "all tokens that were got with secret " + of.secret
	case of.key != "":
		return "all tokens that key " + of.key + " signed, and withdraw the key"
	}
	return "every token of every client"
}

func (s *session) revoked(body json.RawMessage) error {
	return printDone(s.print, body, func(r wire.Revocation) string { return sentence("%s", tookBack(r.Hit)) })
}
