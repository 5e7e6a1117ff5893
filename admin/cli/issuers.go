package cli

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

var issuerIDForm = regexp.MustCompile(`^iss_[0-9A-Za-z]{22}$`)

// trusted returns the id of the trusted issuer that the user names by id or name.
func (r *remote) trusted(ctx context.Context, named string) (string, error) {
	if issuerIDForm.MatchString(named) {
		return named, nil
	}
	found, err := lookUp[wire.TrustedIssuer](ctx, r, kind{"trusted issuer", "/trusted-issuers", "name"}, named)
	return found.ID, err
}

func issuerNames(ctx context.Context, r *remote, _ []string, typed string) []string {
	return offers(ctx, r, "/trusted-issuers", nil, func(i wire.TrustedIssuer) (string, string) {
		if !strings.HasPrefix(i.Name, typed) {
			return "", ""
		}
		return i.Name, i.Issuer
	})
}

func newIssuerCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "trusted-issuer", Short: "Manage trusted issuers: whose tokens workloads authenticate by",
		Long: "Manage trusted issuers: who signs the tokens of workloads, by which those authenticate as clients. That is a\n" +
			"Kubernetes cluster, GitHub Actions, any OpenID provider, or a SPIFFE trust domain. Which workload is which\n" +
			"client the rules of the client say (`countersign client rule add`). ISSUER is a name or an id (iss_…).",
	}
	cmd.AddCommand(newIssuerListCmd(a), newIssuerShowCmd(a), newIssuerCreateCmd(a), newIssuerUpdateCmd(a), newIssuerDeleteCmd(a))
	return cmd
}

func newIssuerListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List trusted issuers", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign trusted-issuer list",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			return show(ctx, s, listing{path: "/trusted-issuers", sorted: true}, []column[wire.TrustedIssuer]{
				{"NAME", func(i wire.TrustedIssuer) string { return i.Name }},
				{"ISSUER", func(i wire.TrustedIssuer) string { return i.Issuer }},
				{"ISSUER ID", func(i wire.TrustedIssuer) string { return i.ID }},
				{"STATUS", func(i wire.TrustedIssuer) string { return i.Status }},
				{"KEYS", issuerKeys},
				{"REPLAY", func(i wire.TrustedIssuer) string { return i.Replay }},
			})
		}),
	}
}

// issuerKeys tells where the keys of an issuer are had.
func issuerKeys(i wire.TrustedIssuer) string {
	switch {
	case i.JWKSURI != "":
		return i.JWKSURI
	case i.JWKS != nil && i.Kind == "spiffe":
		return "bundle as given"
	case i.JWKS != nil:
		return "as given"
	}
	return "by discovery"
}

func issuerRows(p *printer) func(wire.TrustedIssuer) []row {
	return func(i wire.TrustedIssuer) []row {
		rows := []row{
			{"name", i.Name},
			{"issuer", i.Issuer},
			{"trusted_issuer_id", i.ID},
			{"kind", i.Kind},
			{"status", i.Status},
			{"keys", issuerKeys(i)},
		}
		for _, thumbprint := range i.Thumbprints {
			rows = append(rows, row{"key", thumbprint})
		}
		audience := i.Audience
		if audience == "" {
			audience = "the issuer identifier of this server"
		}
		return append(rows,
			row{"audience", audience},
			row{"algorithms", strings.Join(i.Algorithms, " ")},
			row{"longest lifetime", (time.Duration(i.MaxLifetime) * time.Second).String()},
			row{"replay", i.Replay},
			row{"created", p.moment(i.Created)},
			row{"updated", p.moment(i.Updated)},
		)
	}
}

func newIssuerShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ISSUER", Short: "Show a trusted issuer", Args: arguments, ValidArgsFunction: a.complete(issuerNames),
		Example: "  countersign trusted-issuer show github",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.trusted(ctx, args[0])
			if err != nil {
				return err
			}
			return get(ctx, s, path("trusted-issuers", id), issuerRows(s.print))
		}),
	}
}

// issuerFlags are the members of a trusted issuer as flags.
type issuerFlags struct {
	name, keys, uri, audience, replay, status string
	algorithms                                []string
	lifetime                                  time.Duration
}

func (f *issuerFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.keys, "jwks-file", "", "`file` with its public keys, or with the trust bundle of a trust domain")
	flags.StringVar(&f.uri, "jwks-uri", "", "`URL` (https) where they are to be had; by default they are found by OpenID Connect Discovery")
	flags.StringVar(&f.audience, "audience", "", "`aud` that its tokens must have; by default the issuer identifier of this server")
	flags.StringSliceVar(&f.algorithms, "algorithm", nil, "an `algorithm` that its tokens may be signed by, such as RS256; may be repeated")
	lengthFlag(cmd, &f.lifetime, "max-lifetime", "", "how far ahead its tokens may expire, a `time` of 1m to 24h")
	choiceFlag(cmd, &f.replay, "replay", "`policy`: once (a token has a jti and is good for one use) or reusable (until it expires)", "once", "reusable")
}

func (f *issuerFlags) names() []string {
	return []string{"jwks-file", "jwks-uri", "audience", "algorithm", "max-lifetime", "replay"}
}

// members returns what the flags that are given set. An empty value is null.
func (f *issuerFlags) members(cmd *cobra.Command) (map[string]any, error) {
	set := map[string]any{}
	for flag, member := range map[string]struct{ name, value string }{
		"jwks-uri": {"jwks_uri", f.uri}, "audience": {"audience", f.audience}, "replay": {"replay", f.replay},
	} {
		if given(cmd, flag) {
			if set[member.name] = any(member.value); member.value == "" {
				set[member.name] = nil
			}
		}
	}
	if given(cmd, "jwks-file") {
		if err := setKeys(set, f.keys); err != nil {
			return nil, err
		}
	}
	instead(set, "")
	if given(cmd, "algorithm") {
		set["algorithms"] = f.algorithms
	}
	if given(cmd, "max-lifetime") {
		if f.lifetime%time.Second != 0 {
			return nil, usagef("--max-lifetime is %v: allowed are whole seconds", f.lifetime)
		}
		set["max_lifetime_seconds"] = int64(f.lifetime / time.Second)
	}
	return set, nil
}

// presets are what is known of widespread issuers.
func presets() map[string]map[string]any {
	return map[string]map[string]any{
		// Service-account tokens are presented again and again until the kubelet replaces them, and older clusters give them no jti.
		"kubernetes": {"kind": "oidc", "algorithms": []string{"RS256"}, "max_lifetime_seconds": 3600, "replay": "reusable"},
		// A job asks for as many as it needs: each has a jti, and lasts some minutes.
		"github": {"kind": "oidc", "algorithms": []string{"RS256"}, "max_lifetime_seconds": 900, "replay": "once"},
		// JWT-SVIDs (§3) need no jti, and are kept by the workload API until they expire.
		"spiffe": {
			"kind": "spiffe", "algorithms": []string{"ES256", "ES384", "RS256"}, "max_lifetime_seconds": 3600, "replay": "reusable",
		},
	}
}

const githubIssuer = "https://token.actions.githubusercontent.com"

func newIssuerCreateCmd(a *app) *cobra.Command {
	var f issuerFlags
	var kubernetes, github, spiffe bool
	cmd := &cobra.Command{
		Use: "create NAME [ISSUER]", Short: "Trust an issuer", Args: issuerArguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Trust an issuer. ISSUER is the `iss` of its tokens, or the trust domain as spiffe://NAME. --kubernetes,\n" +
			"--github and --spiffe set algorithms, lifetime and replay policy as suits those; other flags go before.",
		Example: "  countersign trusted-issuer create github --github\n" +
			"  countersign trusted-issuer create prod https://oidc.eks.eu-west-1.amazonaws.com/id/ABC --kubernetes\n" +
			"  countersign trusted-issuer create mesh spiffe://example.org --spiffe --jwks-file bundle.json",
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&kubernetes, "kubernetes", false, "it is a cluster: RS256, 1h, reusable")
	cmd.Flags().BoolVar(&github, "github", false, "it is GitHub Actions, whose ISSUER need not be said: RS256, 15m, once")
	cmd.Flags().BoolVar(&spiffe, "spiffe", false, "it is a trust domain: ES256, ES384 and RS256, 1h, reusable")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if given(cmd, "kubernetes", "github", "spiffe") {
			if err := apart(cmd, "kubernetes", "github", "spiffe"); err != nil {
				return err
			}
		}
		body := map[string]any{}
		for name, chosen := range map[string]bool{"kubernetes": kubernetes, "github": github, "spiffe": spiffe} {
			if chosen {
				body = presets()[name]
			}
		}
		set, err := f.members(cmd)
		if err != nil {
			return err
		}
		for name, value := range set {
			if value != nil {
				body[name] = value
			}
		}
		body["name"] = args[0]
		switch {
		case len(args) > 1:
			body["issuer"] = args[1]
		case github:
			body["issuer"] = githubIssuer
		default:
			return usagef("ISSUER is missing: the iss of its tokens")
		}
		made, err := s.api.do(ctx, request{method: http.MethodPost, path: "/trusted-issuers", body: body})
		if err != nil {
			return err
		}
		return printOne(s.print, made.body, issuerRows(s.print))
	})
	return cmd
}

// issuerArguments takes NAME and, unless a flag says it, ISSUER.
func issuerArguments(cmd *cobra.Command, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usagef("%d arguments: allowed is `%s NAME ISSUER`", len(args), cmd.CommandPath())
	}
	return nil
}

func newIssuerUpdateCmd(a *app) *cobra.Command {
	var f issuerFlags
	var revoke bool
	cmd := a.confirmable(&cobra.Command{
		Use: "update ISSUER", Short: "Change a trusted issuer", Args: arguments, ValidArgsFunction: a.complete(issuerNames),
		Long: "Change a trusted issuer. What no flag names stays; an empty value takes a member away. To disable it takes all\n" +
			"tokens of the clients back that have a rule for it; other changes do so with --revoke-tokens.",
		Example: "  countersign trusted-issuer update prod --audience https://auth.example\n" +
			"  countersign trusted-issuer update prod --status disabled --yes",
	})
	f.bind(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "a new `name`")
	choiceFlag(cmd, &f.status, "status", "`status`: active or disabled", "active", "disabled")
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "take all tokens of the clients back that have a rule for it")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if err := wantsChange(cmd, append(f.names(), "name", "status", "revoke-tokens")...); err != nil {
			return err
		}
		patch, err := f.members(cmd)
		if err != nil {
			return err
		}
		if given(cmd, "name") {
			patch["name"] = f.name
		}
		if given(cmd, "status") {
			patch["status"] = f.status
		}
		id, err := s.api.trusted(ctx, args[0])
		if err != nil {
			return err
		}
		if revoke {
			patch["revoke_tokens"] = true
		}
		if revoke || f.status == "disabled" {
			if err := s.confirm("take back all tokens of the clients that have a rule for %s", named(args[0], id)); err != nil {
				return err
			}
		}
		changed, err := s.api.change(ctx, path("trusted-issuers", id), http.MethodPatch, patch)
		if err != nil {
			return err
		}
		return printOne(s.print, changed.body, func(i wire.ChangedTrustedIssuer) []row {
			rows := issuerRows(s.print)(i.TrustedIssuer)
			if revoke || f.status == "disabled" {
				rows = append(rows, row{"tokens", tookBack(i.Hit)})
			}
			return rows
		})
	})
	return cmd
}

func newIssuerDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete ISSUER", Short: "Trust an issuer no longer, and take the tokens of its clients back", Args: arguments,
		Long: "Trust an issuer no longer. The rules for it go, and all tokens of the clients that had one are taken back. A\n" +
			"client that has no other rule is in the way: disable the issuer, or change the client first.",
		Example: "  countersign trusted-issuer delete prod --yes", ValidArgsFunction: a.complete(issuerNames),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.trusted(ctx, args[0])
			if err != nil {
				return err
			}
			return s.remove(ctx, path("trusted-issuers", id), "delete trusted issuer "+named(args[0], id)+" and every rule for it")
		}),
	})
}
