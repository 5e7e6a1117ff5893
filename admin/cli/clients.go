package cli

import (
	"context"
	"maps"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newClientCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "client", Short: "Manage clients: the services that call others",
		Long: "Manage clients: the services that call others. CLIENT is a client's name or its id (cl_…).",
	}
	cmd.AddCommand(newClientListCmd(a), newClientShowCmd(a), newClientCreateCmd(a), newClientUpdateCmd(a), newClientDeleteCmd(a),
		newClientDisableCmd(a), newClientEnableCmd(a), newRuleCmd(a))
	return cmd
}

func newClientListCmd(a *app) *cobra.Command {
	var owner, status, prefix, label string
	sort, limit := "name", 0
	cmd := &cobra.Command{
		Use: "list", Short: "List clients", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign client list\n  countersign client list --owner team-payments --label tier=1 -o json",
	}
	cmd.Flags().StringVar(&owner, "owner", "", "only those of this `owner`")
	choiceFlag(cmd, &status, "status", "only those of this `status`: active or disabled", "active", "disabled")
	cmd.Flags().StringVar(&prefix, "name-prefix", "", "only those whose name begins with `text`")
	cmd.Flags().StringVar(&label, "label", "", "only those with the label `NAME` or NAME=VALUE")
	choiceFlag(cmd, &sort, "sort", "`order`: name, -name, created or -created", "name", "-name", "created", "-created")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most this many; 0: all")
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		return show(ctx, s, listing{
			path: "/clients", limit: limit,
			query: where("owner", owner, "status", status, "name_prefix", prefix, "label", label, "sort", sort),
		}, clientColumns(s.print))
	})
	return cmd
}

func clientColumns(p *printer) []column[wire.Client] {
	return []column[wire.Client]{
		{"NAME", func(c wire.Client) string { return c.Name }},
		{"CLIENT ID", func(c wire.Client) string { return c.ID }},
		{"STATUS", func(c wire.Client) string { return c.Status }},
		{"OWNER", func(c wire.Client) string { return c.Owner }},
		{"LAST USED", func(c wire.Client) string { return p.since(c.LastUsed, "never") }},
		{"CREATED", func(c wire.Client) string { return p.ago(c.Created) }},
	}
}

func clientRows(p *printer) func(wire.Client) []row {
	return func(c wire.Client) []row {
		rows := []row{
			{"name", c.Name},
			{"client_id", c.ID},
			{"status", c.Status},
			{"description", c.Description},
			{"owner", c.Owner},
			{"labels", labels(c.Labels)},
			{"auth method", c.AuthMethod},
		}
		rows = append(rows, proofRows(c)...)
		return append(rows,
			row{"default resource", c.DefaultResource},
			row{"created", p.moment(c.Created)},
			row{"updated", p.moment(c.Updated)},
			row{"last used", p.momentOr(c.LastUsed, "never")},
		)
	}
}

func newClientShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT", Short: "Show a client", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Example: "  countersign client show orders",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.client(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: path("clients", id)})
			if err != nil {
				return err
			}
			return s.printClient(ctx, got.body, nil)
		}),
	}
}

// clientFlags are the members of a client as flags.
type clientFlags struct {
	name, description, owner, method, resource string
	labels                                     []string
	proofs                                     proofFlags
}

func (f *clientFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "`text` for people")
	flags.StringVar(&f.owner, "owner", "", "who answers for it, such as a `team`")
	flags.StringArrayVar(&f.labels, "label", nil, "a label as `NAME=VALUE`; may be repeated")
	choiceFlag(cmd, &f.method, "auth-method", "`method` by which it authenticates: client_secret_basic, client_secret_post, private_key_jwt, "+
		"tls_client_auth, self_signed_tls_client_auth, federated_jwt, spiffe_jwt or spiffe_x509", methodNames()...)
	f.proofs.bind(cmd)
	flags.StringVar(&f.resource, "default-resource", "", "`identifier` of the API for which a token is asked when a request names none")
}

func newClientCreateCmd(a *app) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a client", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make a client. It may call nobody yet (`countersign grant put`).\n" +
			"A client with a method by secrets, the default, needs one (`countersign secret add`); one that authenticates\n" +
			"by its own keys, a certificate or the tokens of a trusted issuer needs none.",
		Example: "  countersign client create orders --owner team-payments --label tier=1\n" +
			"  countersign client create orders --auth-method private_key_jwt --jwks-file orders.pub.pem\n" +
			"  countersign client create deploy --auth-method federated_jwt --trusted-issuer github \\\n" +
			"    --claim sub=repo:acme/shop:ref:refs/heads/main",
	}
	f.bind(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		set, err := labelMap(f.labels)
		if err != nil {
			return err
		}
		body, err := f.body(cmd, args[0], set)
		if err != nil {
			return err
		}
		made, err := s.api.do(ctx, request{method: http.MethodPost, path: "/clients", body: body})
		if err != nil {
			return err
		}
		return s.printClient(ctx, made.body, nil)
	})
	return cmd
}

// body is what a new client shall be.
func (f *clientFlags) body(cmd *cobra.Command, name string, labels map[string]string) (map[string]any, error) {
	body, err := f.proofs.members(cmd)
	if err != nil {
		return nil, err
	}
	for member, value := range map[string]string{
		"name": name, "description": f.description, "owner": f.owner, "token_endpoint_auth_method": f.method, "default_resource": f.resource,
	} {
		if value != "" {
			body[member] = value
		}
	}
	maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil })
	if len(labels) > 0 {
		body["labels"] = labels
	}
	return body, nil
}

func newClientUpdateCmd(a *app) *cobra.Command {
	var f clientFlags
	var removed []string
	var revoke bool
	cmd := a.confirmable(&cobra.Command{
		Use: "update CLIENT", Short: "Change what is known of a client", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "Change what is known of a client. What no flag names stays; an empty value takes a member away.\n" +
			"With --auth-method goes what belongs to the former method. Tokens that it has go on, unless\n" +
			"--revoke-tokens takes them back.",
		Example: "  countersign client update orders --owner team-checkout --label tier=2 --remove-label beta\n" +
			"  countersign client update orders --auth-method private_key_jwt --jwks-file orders.pub.pem",
	})
	f.bind(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "a new `name`")
	cmd.Flags().StringArrayVar(&removed, "remove-label", nil, "remove the label `NAME`; may be repeated")
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "take all of its tokens back, too")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		flags := append(f.proofs.names(), "name", "description", "owner", "label", "remove-label", "auth-method", "default-resource", "revoke-tokens")
		if err := wantsChange(cmd, flags...); err != nil {
			return err
		}
		patch, err := f.patch(cmd, removed)
		if err != nil {
			return err
		}
		id, err := s.api.client(ctx, args[0])
		if err != nil {
			return err
		}
		if revoke {
			patch["revoke_tokens"] = true
			if err := s.confirm("take back all tokens of client %s", named(args[0], id)); err != nil {
				return err
			}
		}
		changed, err := s.api.change(ctx, path("clients", id), http.MethodPatch, patch)
		if err != nil {
			return err
		}
		done, err := decode[wire.ChangedClient](changed.body)
		if err != nil {
			return err
		}
		return s.printClient(ctx, changed.body, func() []row {
			if !revoke {
				return nil
			}
			return []row{{"tokens", tookBack(done.Hit)}}
		})
	})
	return cmd
}

// patch makes a merge patch of the flags that are given. An empty value is null, which takes the member back to its default.
func (f *clientFlags) patch(cmd *cobra.Command, removed []string) (map[string]any, error) {
	patch, err := f.proofs.members(cmd)
	if err != nil {
		return nil, err
	}
	instead(patch, f.method)
	for flag, member := range map[string]struct{ name, value string }{
		"name": {"name", f.name}, "description": {"description", f.description}, "owner": {"owner", f.owner},
		"auth-method": {"token_endpoint_auth_method", f.method}, "default-resource": {"default_resource", f.resource},
	} {
		switch {
		case !given(cmd, flag):
		case member.value == "" && flag != "name":
			patch[member.name] = nil
		default:
			patch[member.name] = member.value
		}
	}
	set, err := labelMap(f.labels)
	if err != nil {
		return nil, err
	}
	if given(cmd, "label", "remove-label") {
		changes := map[string]any{}
		for _, name := range removed {
			changes[name] = nil
		}
		for name, value := range set {
			changes[name] = value
		}
		patch["labels"] = changes
	}
	return patch, nil
}

func newClientDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete CLIENT", Short: "Delete a client, its secrets and grants, and take its tokens back", Args: arguments,
		Long: "Delete a client, its secrets and grants, and take its tokens back. It cannot be undone: to be able to go\n" +
			"back, disable the client first.",
		Example: "  countersign client delete orders --yes", ValidArgsFunction: a.complete(clientNames),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.client(ctx, args[0])
			if err != nil {
				return err
			}
			return s.remove(ctx, path("clients", id), "delete client "+named(args[0], id)+" with its secrets and grants")
		}),
	})
}

func newClientDisableCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "disable CLIENT", Short: "Shut a client out and take its tokens back", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long:    "Shut a client out and take its tokens back, until it is enabled again. Tokens do not come back then.",
		Example: "  countersign client disable orders --yes",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			return s.setClient(ctx, args[0], "disable")
		}),
	})
}

func newClientEnableCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "enable CLIENT", Short: "Let a disabled client in again", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Example: "  countersign client enable orders",
		RunE:    a.run(func(ctx context.Context, s *session, args []string) error { return s.setClient(ctx, args[0], "enable") }),
	}
}

func (s *session) setClient(ctx context.Context, name, verb string) error {
	id, err := s.api.client(ctx, name)
	if err != nil {
		return err
	}
	if verb == "disable" {
		if err := s.confirm("disable client %s: it is refused at once", named(name, id)); err != nil {
			return err
		}
	}
	done, err := s.api.do(ctx, request{method: http.MethodPost, path: path("clients", id, verb)})
	if err != nil {
		return err
	}
	return printDone(s.print, done.body, func(c wire.StatusChange) string {
		text := "client " + named(c.Client.Name, c.Client.ID) + " is " + c.Client.Status
		if verb == "disable" {
			text += ", " + tookBack(c.Hit)
		}
		return text
	})
}

// named tells a thing by name and id.
func named(name, id string) string {
	if name == id || name == "" {
		return id
	}
	return strconv.Quote(name) + " (" + id + ")"
}
