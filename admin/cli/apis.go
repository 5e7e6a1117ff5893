package cli

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newAPICmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "api", Short: "Manage APIs: what is called, and the scopes it offers",
		Long: "Manage APIs: what is called, and the scopes it offers. API is an API's identifier, an absolute URI that is\n" +
			"the audience of its tokens, or its id (api_…).",
	}
	cmd.AddCommand(newAPIListCmd(a), newAPIShowCmd(a), newAPICreateCmd(a), newAPIUpdateCmd(a), newAPIDeleteCmd(a),
		newAPIServeCmd(a), newAPIUnserveCmd(a))
	return cmd
}

func newAPIListCmd(a *app) *cobra.Command {
	var prefix, server string
	sort, limit := "name", 0
	cmd := &cobra.Command{
		Use: "list", Short: "List APIs", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign api list\n  countersign api list --server inventory -o json",
	}
	cmd.Flags().StringVar(&prefix, "name-prefix", "", "only those whose name begins with `text`")
	cmd.Flags().StringVar(&server, "server", "", "only those that this `client` serves")
	choiceFlag(cmd, &sort, "sort", "`order`: name, -name, created or -created", "name", "-name", "created", "-created")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most this many; 0: all")
	a.completeFlag(cmd, "server", clientNames)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		if server != "" {
			id, err := s.api.client(ctx, server)
			if err != nil {
				return err
			}
			server = id
		}
		return show(ctx, s, listing{path: "/apis", limit: limit, query: where("name_prefix", prefix, "server", server, "sort", sort)}, apiColumns())
	})
	return cmd
}

func apiColumns() []column[wire.API] {
	return []column[wire.API]{
		{"NAME", func(api wire.API) string { return api.Name }},
		{"IDENTIFIER", func(api wire.API) string { return api.Identifier }},
		{"API ID", func(api wire.API) string { return api.ID }},
		{"TOKENS", tokenForm},
		{"SCOPES", func(api wire.API) string { return brief(scopeNames(api.Scopes)) }},
		{"SERVERS", func(api wire.API) string { return strconv.Itoa(len(api.Servers)) }},
	}
}

// tokenForm tells in short what tokens the API gets.
func tokenForm(api wire.API) string {
	text := api.Format
	if api.Format == "jwt" {
		text += " " + api.Algorithm
	}
	return text + " " + span(time.Duration(api.Lifetime)*time.Second)
}

func scopeNames(scopes []wire.Scope) (names []string) {
	for _, scope := range scopes {
		names = append(names, scope.Name)
	}
	return names
}

func apiServers(api wire.API) []string { return api.Servers }

func apiRows(p *printer) func(wire.API, names) []row {
	return func(api wire.API, known names) []row {
		rows := []row{
			{"name", api.Name},
			{"identifier", api.Identifier},
			{"api_id", api.ID},
			{"token format", api.Format},
			{"token lifetime", (time.Duration(api.Lifetime) * time.Second).String()},
			{"signing algorithm", api.Algorithm},
			{"tokens bound to", map[string]string{"any": "DPoP key or certificate", "dpop": "DPoP key", "mutual_tls": "certificate"}[api.Constraint]},
		}
		if api.BuiltIn {
			rows = append(rows, row{"built in", "yes"})
		}
		for _, scope := range api.Scopes {
			text := scope.Name
			if scope.Description != "" {
				text += " (" + scope.Description + ")"
			}
			rows = append(rows, row{"scope", strings.ReplaceAll(text, "\n", " ")})
		}
		for _, server := range api.Servers {
			rows = append(rows, row{"server", named(known[server], server)})
		}
		return append(rows, row{"created", p.moment(api.Created)}, row{"updated", p.moment(api.Updated)})
	}
}

func newAPIShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show API", Short: "Show an API", Args: arguments, ValidArgsFunction: a.complete(apiIdentifiers),
		Example: "  countersign api show https://inventory.example",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.apiID(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: path("apis", id)})
			if err != nil {
				return err
			}
			return printNamed(ctx, s, got.body, apiServers, apiRows(s.print))
		}),
	}
}

// apiFlags are the members of an API as flags.
type apiFlags struct {
	name, format, algorithm string
	constraint              string
	lifetime                time.Duration
	scopes, removed         []string
}

func (f *apiFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	choiceFlag(cmd, &f.format, "token-format", "`format` of its tokens: jwt or opaque; a new API has jwt unless given", "jwt", "opaque")
	lengthFlag(cmd, &f.lifetime, "token-lifetime", "", "how long its tokens last, a `time` of 1m to 24h; those of a new API 1h unless given")
	choiceFlag(cmd, &f.algorithm, "algorithm", "`name` of what its JWTs are signed by: ES256, RS256, PS256 or EdDSA; a new API has ES256 unless given", algorithms()...)
	choiceFlag(cmd, &f.constraint, "sender-constraint", "what its tokens have to be bound to, a `word`: dpop (a key), mutual_tls (a certificate), any of the two, or none",
		"none", "any", "dpop", "mutual_tls")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a scope it offers, as `NAME` or NAME=DESCRIPTION; may be repeated")
}

// wireScopes reads NAME or NAME=DESCRIPTION.
func (f *apiFlags) wireScopes() (list []wire.Scope) {
	for _, text := range f.scopes {
		name, description, _ := strings.Cut(text, "=")
		list = append(list, wire.Scope{Name: name, Description: description})
	}
	return list
}

// seconds returns the lifetime in whole seconds.
func (f *apiFlags) seconds() (int64, error) {
	if f.lifetime%time.Second != 0 {
		return 0, usagef("--token-lifetime is %v: allowed are whole seconds", f.lifetime)
	}
	return int64(f.lifetime / time.Second), nil
}

func newAPICreateCmd(a *app) *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use: "create IDENTIFIER", Short: "Make an API", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make an API. Its identifier, an absolute URI, is the audience of its tokens and cannot be changed later.",
		Example: "  countersign api create https://inventory.example --name Inventory \\\n" +
			"    --scope inventory:read='See what is in stock' --scope inventory:write",
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "`name` for people; the identifier unless given")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		lifetime, err := f.seconds()
		if err != nil {
			return err
		}
		if f.name == "" {
			f.name = args[0]
		}
		made, err := s.api.do(ctx, request{method: http.MethodPost, path: "/apis", body: wire.APIBody{
			Identifier: args[0], Name: f.name, Scopes: f.wireScopes(), Format: f.format, Lifetime: lifetime, Algorithm: f.algorithm,
			Constraint: strings.TrimPrefix(f.constraint, "none"),
		}})
		if err != nil {
			return err
		}
		return printNamed(ctx, s, made.body, apiServers, apiRows(s.print))
	})
	return cmd
}

func newAPIUpdateCmd(a *app) *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use: "update API", Short: "Change an API", Args: arguments, ValidArgsFunction: a.complete(apiIdentifiers),
		Long: "Change an API. What no flag names stays. Format, lifetime and algorithm are those of new tokens. A scope\n" +
			"that a grant holds cannot be removed.",
		Example: "  countersign api update https://inventory.example --token-lifetime 15m --scope inventory:audit --remove-scope inventory:old",
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "a new `name`")
	cmd.Flags().StringArrayVar(&f.removed, "remove-scope", nil, "remove the scope `NAME`; may be repeated")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if err := wantsChange(cmd, "name", "token-format", "token-lifetime", "algorithm", "sender-constraint", "scope", "remove-scope"); err != nil {
			return err
		}
		id, err := s.api.apiID(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := s.api.updateAPI(ctx, cmd, id, f)
		if err != nil {
			return err
		}
		return printNamed(ctx, s, changed.body, apiServers, apiRows(s.print))
	})
	return cmd
}

// updateAPI adds and removes scopes in the list as it is, since a patch holds the whole of it.
func (r *remote) updateAPI(ctx context.Context, cmd *cobra.Command, id string, f apiFlags) (answer, error) {
	patch := map[string]any{}
	for flag, member := range map[string]struct{ name, value string }{
		"name": {"name", f.name}, "token-format": {"token_format", f.format}, "algorithm": {"signing_algorithm", f.algorithm},
	} {
		if given(cmd, flag) {
			patch[member.name] = member.value
		}
	}
	if given(cmd, "sender-constraint") {
		if patch["sender_constraint"] = any(f.constraint); f.constraint == "none" {
			patch["sender_constraint"] = nil
		}
	}
	if given(cmd, "token-lifetime") {
		lifetime, err := f.seconds()
		if err != nil {
			return answer{}, err
		}
		patch["token_lifetime_seconds"] = lifetime
	}
	at := path("apis", id)
	now, err := r.do(ctx, request{method: http.MethodGet, path: at})
	if err != nil {
		return answer{}, err
	}
	if given(cmd, "scope", "remove-scope") {
		api, err := decode[wire.API](now.body)
		if err != nil {
			return answer{}, err
		}
		if patch["scopes"], err = editScopes(api.Scopes, f.wireScopes(), f.removed); err != nil {
			return answer{}, err
		}
	}
	return r.do(ctx, request{method: http.MethodPatch, path: at, body: patch, match: now.etag})
}

func editScopes(now, added []wire.Scope, removed []string) ([]wire.Scope, error) {
	for _, name := range removed {
		at := slices.IndexFunc(now, func(s wire.Scope) bool { return s.Name == name })
		if at < 0 {
			return nil, usagef("--remove-scope is %q: the API offers %s", name, strings.Join(scopeNames(now), ", "))
		}
		now = slices.Delete(now, at, at+1)
	}
	for _, scope := range added {
		if at := slices.IndexFunc(now, func(s wire.Scope) bool { return s.Name == scope.Name }); at >= 0 {
			now[at] = scope
		} else {
			now = append(now, scope)
		}
	}
	if now == nil {
		now = []wire.Scope{}
	}
	return now, nil
}

func newAPIDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete API", Short: "Delete an API and every grant on it, and take its tokens back", Args: arguments,
		Example: "  countersign api delete https://inventory.example --yes", ValidArgsFunction: a.complete(apiIdentifiers),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.apiID(ctx, args[0])
			if err != nil {
				return err
			}
			return s.remove(ctx, path("apis", id), "delete API "+named(args[0], id)+" and every grant on it")
		}),
	})
}

func newAPIServeCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "serve API CLIENT", Short: "Make a client a server of an API", Args: arguments,
		Long:    "Make a client a server of an API: it may introspect the API's tokens and read the revocation feed.",
		Example: "  countersign api serve https://inventory.example inventory", ValidArgsFunction: a.complete(apiIdentifiers, clientNames),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			return s.setServer(ctx, args, http.MethodPut)
		}),
	}
}

func newAPIUnserveCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "unserve API CLIENT", Short: "Make a client no longer a server of an API", Args: arguments,
		Example: "  countersign api unserve https://inventory.example inventory --yes", ValidArgsFunction: a.complete(apiIdentifiers, clientNames),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			return s.setServer(ctx, args, http.MethodDelete)
		}),
	})
}

func (s *session) setServer(ctx context.Context, args []string, method string) error {
	client, api, err := s.api.pair(ctx, args[1], args[0])
	if err != nil {
		return err
	}
	verb := "serves"
	if method == http.MethodDelete {
		verb = "no longer serves"
		if err := s.confirm("make client %s no server of %s any more", named(args[1], client), named(args[0], api)); err != nil {
			return err
		}
	}
	done, err := s.api.do(ctx, request{method: method, path: path("apis", api, "servers", client)})
	if err != nil {
		return err
	}
	return printDone(s.print, done.body, func(any) string {
		return "client " + named(args[1], client) + " " + verb + " " + named(args[0], api)
	})
}
