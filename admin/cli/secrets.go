package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newSecretCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "Manage the secrets of clients, and report leaked values",
		Long: "Manage the secrets of clients, and report leaked values. A client may have several secrets that are\n" +
			"valid at once, so that they can be rotated without downtime. A value is shown once, when it is made.\n" +
			"CLIENT is a name or id, SECRET the id of a secret (sec_…).",
	}
	cmd.AddCommand(newSecretListCmd(a), newSecretAddCmd(a), newSecretRotateCmd(a), newSecretExpireCmd(a), newSecretDisableCmd(a),
		newSecretEnableCmd(a), newSecretDeleteCmd(a), newSecretRevokeCmd(a))
	return cmd
}

func newSecretListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list CLIENT", Short: "List a client's secrets", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "List a client's secrets, when each was last used, and whether nobody can depend on it any more.",
		Example: "  countersign secret list orders\n" +
			"  countersign secret list orders -o json | jq -r '.[] | select(.safe_to_delete) | .secret_id'",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.client(ctx, args[0])
			if err != nil {
				return err
			}
			return show(ctx, s, listing{path: path("clients", id, "secrets")}, secretColumns(s.print))
		}),
	}
}

func secretColumns(p *printer) []column[wire.Secret] {
	return []column[wire.Secret]{
		{"SECRET ID", func(c wire.Secret) string { return c.ID }},
		{"ENDS IN", func(c wire.Secret) string { return hinted(c.Hint) }},
		{"STATUS", func(c wire.Secret) string { return c.Status }},
		{"CREATED", func(c wire.Secret) string { return p.ago(c.Created) }},
		{"EXPIRES", func(c wire.Secret) string { return p.since(c.Expires, "never") }},
		{"LAST USED", func(c wire.Secret) string { return p.since(c.LastUsed, "never") }},
		{"FROM", func(c wire.Secret) string { return c.LastUsedFrom }},
		{"SAFE TO DELETE", func(c wire.Secret) string {
			text := "not yet"
			if c.SafeToDelete {
				text = "yes"
			}
			if c.Why != "" {
				text += ": " + c.Why
			}
			return text
		}},
	}
}

// hinted shows the characters of a value that are known.
func hinted(hint string) string {
	if hint == "" {
		return ""
	}
	return "…" + hint
}

func secretRows(p *printer, c wire.Secret) []row {
	return []row{
		{"secret_id", c.ID},
		{"client_id", c.Client},
		{"ends in", hinted(c.Hint)},
		{"status", c.Status},
		{"created", p.moment(c.Created)},
		{"expires", p.momentOr(c.Expires, "never")},
		{"last used", p.momentOr(c.LastUsed, "never")},
	}
}

func newSecretAddCmd(a *app) *cobra.Command {
	var ends expiry
	var valueFile, to string
	cmd := &cobra.Command{
		Use: "add CLIENT", Short: "Give a client a further secret", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "Give a client a further secret, beside those that it has. The server makes it, and its value is shown\n" +
			"this once, or written to a file. A value of your own is slower to check and cannot be found when it\n" +
			"leaks.",
		Example: "  countersign secret add orders --expires-in 90d --to orders.secret",
	}
	ends.bind(cmd)
	cmd.Flags().StringVar(&valueFile, "value-file", "", "take the value from this `file` (- is standard input) in place of a made one")
	toFlag(cmd, &to)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		body := wire.SecretBody{}
		var err error
		if body.Expires, err = ends.at(cmd, s.print.now()); err != nil {
			return err
		}
		if valueFile != "" {
			if body.Value, err = s.readValue(valueFile); err != nil {
				return err
			}
		}
		return s.newSecret(ctx, newSecret{client: args[0], path: []string{"secrets"}, body: body, to: to, imported: valueFile != ""})
	})
	return cmd
}

func newSecretRotateCmd(a *app) *cobra.Command {
	var ends expiry
	var overlap time.Duration
	var to string
	cmd := &cobra.Command{
		Use: "rotate CLIENT", Short: "Make a new secret, and let the others go on for a while", Args: arguments, ValidArgsFunction: a.complete(clientNames),
		Long: "Make a new secret, and let the client's other active secrets expire after the overlap, in one step. In\n" +
			"that time bring the new one to every instance of the client. `countersign secret list` shows when the\n" +
			"old one is used no more.",
		Example: "  countersign secret rotate orders --overlap 48h --to orders.secret",
	}
	ends.bind(cmd)
	lengthFlag(cmd, &overlap, "overlap", "24h", "how much `time` the others go on, up to 30d; 0s: they end at once")
	toFlag(cmd, &to)
	a.confirmable(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if overlap < 0 || overlap > 30*day || overlap%time.Second != 0 {
			return usagef("--overlap is %v: allowed are whole seconds, up to 30d", overlap)
		}
		expires, err := ends.at(cmd, s.print.now())
		if err != nil {
			return err
		}
		if overlap == 0 {
			if err := s.confirm("end the other secrets of client %s at once", args[0]); err != nil {
				return err
			}
		}
		seconds := int64(overlap / time.Second)
		body := wire.RotationBody{Overlap: &seconds, Expires: expires}
		return s.newSecret(ctx, newSecret{client: args[0], path: []string{"secrets", "rotate"}, body: body, to: to})
	})
	return cmd
}

func newSecretExpireCmd(a *app) *cobra.Command {
	var ends expiry
	cmd := &cobra.Command{
		Use: "expire CLIENT SECRET", Short: "Set when a secret ends", Args: arguments, ValidArgsFunction: a.complete(clientNames, secretIDs),
		Example: "  countersign secret expire orders sec_0vN6d1hYQm3ZJ4cW8kXb2T --expires-in 24h",
	}
	ends.bind(cmd)
	cmd.Flags().BoolVar(&ends.never, "never", false, "it does not end by itself")
	a.confirmable(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if err := apart(cmd, "expires-in", "expires-at", "never"); err != nil {
			return err
		}
		expires, err := ends.at(cmd, s.print.now())
		if err != nil {
			return err
		}
		if expires != nil && !expires.After(s.print.now()) {
			if err := s.confirm("end secret %s at once", args[1]); err != nil {
				return err
			}
		}
		id, err := s.api.client(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := s.api.change(ctx, path("clients", id, "secrets", args[1]), http.MethodPatch, map[string]any{"expires_at": expires})
		if err != nil {
			return err
		}
		return printOne(s.print, changed.body, func(c wire.Secret) []row { return secretRows(s.print, c) })
	})
	return cmd
}

func newSecretDisableCmd(a *app) *cobra.Command {
	var compromised bool
	cmd := &cobra.Command{
		Use: "disable CLIENT SECRET", Short: "Refuse a secret from now on", Args: arguments, ValidArgsFunction: a.complete(clientNames, secretIDs),
		Long: "Refuse a secret from now on. With --compromised somebody else may have it: its tokens are taken back, and the\n" +
			"secrets that were made with it are disabled too.",
		Example: "  countersign secret disable orders sec_0vN6d1hYQm3ZJ4cW8kXb2T --compromised --yes",
	}
	cmd.Flags().BoolVar(&compromised, "compromised", false, "take its tokens back, and reach the secrets that were made with it")
	a.confirmable(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		return s.setSecret(ctx, args, "disable", wire.DisableBody{Compromised: compromised})
	})
	return cmd
}

func newSecretEnableCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "enable CLIENT SECRET", Short: "Accept a disabled secret again", Args: arguments, ValidArgsFunction: a.complete(clientNames, secretIDs),
		Example: "  countersign secret enable orders sec_0vN6d1hYQm3ZJ4cW8kXb2T",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			return s.setSecret(ctx, args, "enable", nil)
		}),
	}
}

func (s *session) setSecret(ctx context.Context, args []string, verb string, body any) error {
	id, err := s.api.client(ctx, args[0])
	if err != nil {
		return err
	}
	if verb == "disable" {
		if err := s.confirm("disable secret %s of client %s: it is refused at once", args[1], named(args[0], id)); err != nil {
			return err
		}
	}
	done, err := s.api.do(ctx, request{method: http.MethodPost, path: path("clients", id, "secrets", args[1], verb), body: body})
	if err != nil {
		return err
	}
	return printDone(s.print, done.body, func(c wire.SecretChange) string {
		text := "secret " + c.Secret.ID + " is " + c.Secret.Status
		if verb == "disable" {
			text += ", " + tookBack(c.Hit) + reached(c.Reached)
		}
		return text
	})
}

func newSecretDeleteCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "delete CLIENT SECRET", Short: "Delete a secret that is disabled or expired", Args: arguments,
		Long:    "Delete a secret. It must be disabled or expired: what is disabled in error can be enabled again.",
		Example: "  countersign secret delete orders sec_0vN6d1hYQm3ZJ4cW8kXb2T --yes", ValidArgsFunction: a.complete(clientNames, secretIDs),
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			id, err := s.api.client(ctx, args[0])
			if err != nil {
				return err
			}
			return s.remove(ctx, path("clients", id, "secrets", args[1]), "delete secret "+args[1]+" of client "+named(args[0], id))
		}),
	})
}
