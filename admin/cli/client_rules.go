package cli

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newRuleCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rule", Short: "Manage the rules by which workloads are a client",
		Long: "Manage the rules by which workloads are a client: which tokens of which trusted issuer. One rule that matches\n" +
			"is enough; of a rule all claims have to match. `countersign client show` numbers them.",
	}
	cmd.AddCommand(newRuleAddCmd(a), newRuleRemoveCmd(a))
	return cmd
}

func newRuleAddCmd(a *app) *cobra.Command {
	var f ruleFlags
	cmd := &cobra.Command{
		Use: "add CLIENT", Short: "Let further workloads be a client", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "Let further workloads be a client that authenticates by federated_jwt, spiffe_jwt or spiffe_x509. A claim\n" +
			"within another is written as a JSON pointer. A prefix leaves the rest open: repo:acme/shop matches\n" +
			"repo:acme/shop-of-others, too.",
		Example: "  countersign client rule add deploy --trusted-issuer github --claim sub=repo:acme/shop:ref:refs/heads/main\n" +
			"  countersign client rule add orders --trusted-issuer prod --claim /kubernetes.io/namespace=shop \\\n" +
			"    --claim /kubernetes.io/serviceaccount/name=orders",
	}
	f.bind(cmd)
	a.completeFlag(cmd, "trusted-issuer", issuerNames)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		rule, err := f.rule()
		if err != nil {
			return err
		}
		return s.editRules(ctx, args[0], func(rules []wire.FederationRule) ([]wire.FederationRule, error) { return append(rules, rule), nil })
	})
	return cmd
}

func newRuleRemoveCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove CLIENT NUMBER", Short: "Remove a rule of a client", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "Remove a rule of a client, by the number that `countersign client show` shows. Tokens that the client\n" +
			"has go on; `countersign token revoke` takes them back.",
		Example: "  countersign client rule remove deploy 2",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return usagef("NUMBER is %q: allowed is the number of a rule, as `countersign client show` shows it", args[1])
			}
			return s.editRules(ctx, args[0], func(rules []wire.FederationRule) ([]wire.FederationRule, error) {
				if n < 1 || n > len(rules) {
					return nil, usagef("NUMBER is %d: the client has %d rules", n, len(rules))
				}
				return slices.Delete(rules, n-1, n), nil
			})
		}),
	}
}

// editRules changes the list of rules as it is, since a patch holds the whole of it.
func (s *session) editRules(ctx context.Context, name string, edit func([]wire.FederationRule) ([]wire.FederationRule, error)) error {
	id, err := s.api.client(ctx, name)
	if err != nil {
		return err
	}
	at := path("clients", id)
	now, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
	if err != nil {
		return err
	}
	client, err := decode[wire.Client](now.body)
	if err != nil {
		return err
	}
	rules, err := edit(client.Federation)
	if err != nil {
		return err
	}
	changed, err := s.api.do(ctx, request{method: http.MethodPatch, path: at, body: map[string]any{"federation": rules}, match: now.etag})
	if err != nil {
		return err
	}
	return s.printClient(ctx, changed.body, nil)
}

// printClient prints a client, with the names of the issuers that its rules trust, and what more returns.
func (s *session) printClient(ctx context.Context, body []byte, more func() []row) error {
	return printNamed(ctx, s, body, clientIssuers, func(c wire.Client, known names) []row {
		for i := range c.Federation {
			c.Federation[i].Issuer = known.of(c.Federation[i].Issuer)
		}
		rows := clientRows(s.print)(c)
		if more != nil {
			rows = append(rows, more()...)
		}
		return rows
	})
}

func clientIssuers(c wire.Client) (ids []string) {
	for _, rule := range c.Federation {
		ids = append(ids, rule.Issuer)
	}
	return ids
}
