package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newExplainCmd(a *app) *cobra.Command {
	var client, api, scope string
	cmd := &cobra.Command{
		Use: "explain", Short: "Tell whether a call would be allowed, and why", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Tell whether a client could get a token for an API with these scopes, by which grant, or what is\n" +
			"missing. It ends with exit code 0 if it could, 1 if not.",
		Example: "  countersign explain --client orders --api https://inventory.example --scope inventory:write",
	}
	cmd.Flags().StringVar(&client, "client", "", "name or id of the `client` that calls")
	cmd.Flags().StringVar(&api, "api", "", "identifier or id of the `API` that is called; by default the client's default resource")
	cmd.Flags().StringVar(&scope, "scope", "", "`scopes`, separated by spaces; by default all that are granted")
	a.completeFlag(cmd, "client", clientNames)
	a.completeFlag(cmd, "api", apiIdentifiers)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		if client == "" {
			return usagef("--client is missing: the client that calls")
		}
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: "/explain", query: where("client", client, "api", api, "scope", scope)})
		if err != nil {
			return err
		}
		return s.printExplanation(got.body)
	})
	return cmd
}

func (s *session) printExplanation(body json.RawMessage) error {
	told, err := decode[wire.Explanation](body)
	if err != nil {
		return err
	}
	if s.print.machine() {
		err = s.print.raw(body)
	} else {
		if told.Allowed {
			s.print.line("allowed: %s", strings.Join(told.Scopes, " "))
		}
		for _, reason := range told.Reasons {
			s.print.line("- %s", reason)
		}
	}
	if err == nil && !told.Allowed {
		err = &remoteError{what: "the call would not be allowed"}
	}
	return err
}

func newGraphCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "graph", Short: "Show who may call whom, and who did", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show who may call whom, and who did. In a table each line is a grant; -o json has the clients and APIs, too.",
		Example: "  countersign graph\n" +
			"  countersign graph -o json | jq -r '.calls[] | select(.last_used_at == null) | .client_id + \" \" + .api_id'",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: "/graph"})
			if err != nil {
				return err
			}
			if s.print.machine() {
				return s.print.raw(got.body)
			}
			graph, err := decode[wire.Graph](got.body)
			if err != nil {
				return err
			}
			return s.printGraph(graph)
		}),
	}
}

func (s *session) printGraph(graph wire.Graph) error {
	known, servers := names{}, map[string]string{}
	for _, c := range graph.Clients {
		known[c.ID] = c.Name
		if c.Status != "active" {
			known[c.ID] += " (" + c.Status + ")"
		}
	}
	for _, api := range graph.APIs {
		known[api.ID] = api.Identifier
		var list []string
		for _, server := range api.Servers {
			list = append(list, known.of(server))
		}
		servers[api.ID] = strings.Join(list, ", ")
	}
	columns := []column[wire.GraphCall]{
		{"CLIENT", func(c wire.GraphCall) string { return known.of(c.Client) }},
		{"CALLS", func(c wire.GraphCall) string { return known.of(c.API) }},
		{"SERVED BY", func(c wire.GraphCall) string { return servers[c.API] }},
		{"LAST USED", func(c wire.GraphCall) string { return s.print.since(c.LastUsed, "never") }},
		{"ISSUED", func(c wire.GraphCall) string { return strconv.FormatInt(c.Tokens, 10) }},
		{"SCOPES", func(c wire.GraphCall) string { return brief(c.Scopes) }},
	}
	sortRows(graph.Calls, columns)
	err := printTable(s.print.out, graph.Calls, columns)
	if graph.Truncated {
		s.note("there is more than is shown: `countersign grant list` shows all")
	}
	return err
}

func newUnusedCmd(a *app) *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use: "unused", Short: "List what nobody used: clients, secrets, grants, scopes", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "List what nobody used for some time, and so can perhaps go: clients, secrets, grants, and scopes of\n" +
			"grants; and secrets that end soon.",
		Example: "  countersign unused --days 30",
	}
	cmd.Flags().IntVar(&days, "days", 90, "for how many days it was not used")
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: "/insights/unused", query: where("days", strconv.Itoa(days))})
		if err != nil {
			return err
		}
		if s.print.machine() {
			return s.print.raw(got.body)
		}
		report, err := decode[wire.Unused](got.body)
		if err != nil {
			return err
		}
		return s.printUnused(ctx, report)
	})
	return cmd
}

// idle is a line of the table of what is unused.
type idle struct{ kind, what, used string }

func (s *session) printUnused(ctx context.Context, report wire.Unused) error {
	var ids []string
	for _, secret := range report.Secrets {
		ids = append(ids, secret.Client)
	}
	for _, grant := range report.Grants {
		ids = append(ids, grant.Client, grant.API)
	}
	known, err := s.names(ctx, ids)
	if err != nil {
		return err
	}
	if list := s.idle(report, known); len(list) > 0 {
		err = printTable(s.print.out, list, []column[idle]{
			{"UNUSED", func(i idle) string { return i.kind }},
			{"WHAT", func(i idle) string { return i.what }},
			{"LAST USED", func(i idle) string { return i.used }},
		})
	} else {
		s.print.line("nothing has been unused for %d days", report.Days)
	}
	for _, e := range report.Expiring {
		text := fmt.Sprintf("secret %s of client %s expires %s, on %s", e.Secret, named(e.Name, e.Client), s.print.ago(e.Expires), e.Expires.UTC().Format(time.RFC3339))
		if e.Only {
			text += "; the client has no other that lasts longer: it will stop working"
		}
		s.print.line("%s", text)
	}
	if report.Truncated {
		s.note("there is more than is shown")
	}
	return err
}

func (s *session) idle(report wire.Unused, known names) (list []idle) {
	for _, c := range report.Clients {
		list = append(list, idle{"client", named(c.Name, c.Client), s.print.since(c.LastUsed, "never")})
	}
	for _, secret := range report.Secrets {
		what := secret.Secret + " of " + known.of(secret.Client)
		list = append(list, idle{"secret", what, s.print.since(secret.LastUsed, "never")})
	}
	for _, grant := range report.Grants {
		kind, what := "grant", known.of(grant.Client)+" → "+known.of(grant.API)
		if len(grant.Scopes) > 0 {
			kind, what = "scopes", what+": "+strings.Join(grant.Scopes, " ")
		}
		list = append(list, idle{kind, what, s.print.since(grant.LastUsed, "never")})
	}
	return list
}

func newWhoamiCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show where commands go, as whom, and with which scopes", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign whoami",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			if err := s.api.authorize(ctx); err != nil {
				return err
			}
			t := s.target
			if s.print.machine() {
				return s.print.value(map[string]string{
					"profile": t.profile, "issuer": t.issuer, "admin_url": t.adminURL, "client_id": t.clientID, "scope": s.api.token.Scope,
				})
			}
			return printRows(s.print.out, []row{
				{"profile", t.profile}, {"issuer", t.issuer}, {"admin url", t.adminURL}, {"client_id", t.clientID}, {"scopes", s.api.token.Scope},
			})
		}),
	}
}
