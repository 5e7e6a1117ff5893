package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newKeyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "List, rotate and withdraw signing keys",
		Long: "List, rotate and withdraw signing keys. Servers rotate keys by schedule without these commands\n" +
			"(--key-rotation).",
	}
	cmd.AddCommand(newKeyListCmd(a), newKeyRotateCmd(a), newKeyRevokeCmd(a))
	return cmd
}

func newKeyListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List signing keys and where each is in its life", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign key list",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			p := s.print
			return show(ctx, s, listing{path: "/keys"}, []column[wire.Key]{
				{"KID", func(k wire.Key) string { return k.ID }},
				{"ALGORITHM", func(k wire.Key) string { return k.Algorithm }},
				{"STATE", func(k wire.Key) string { return k.State }},
				{"ACTIVE FROM", func(k wire.Key) string { return p.moment(k.ActiveAt) }},
				{"CREATED", func(k wire.Key) string { return p.ago(k.Created) }},
				{"NEEDED UNTIL", func(k wire.Key) string { return p.since(k.SafeAt, "") }},
			})
		}),
	}
}

func keyRows(p *printer) func(wire.Key) []row {
	return func(k wire.Key) []row {
		return []row{
			{"kid", k.ID},
			{"algorithm", k.Algorithm},
			{"state", k.State},
			{"created", p.moment(k.Created)},
			{"active from", p.moment(k.ActiveAt)},
			{"revoked", p.momentOr(k.RevokedAt, "")},
		}
	}
}

func newKeyRotateCmd(a *app) *cobra.Command {
	algorithm := "ES256"
	var ahead time.Duration
	var compromised bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make the next signing key of an algorithm", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make the next signing key of an algorithm. It is published now and signs later, when every verifier has\n" +
			"seen it. With --compromised the current key is withdrawn at once: all that it signed is refused.",
		Example: "  countersign key rotate --algorithm ES256 --publish-ahead 48h",
	}
	choiceFlag(cmd, &algorithm, "algorithm", "`name`: ES256, RS256, PS256 or EdDSA", algorithms()...)
	lengthFlag(cmd, &ahead, "publish-ahead", "", "how much `time` the key is published before it signs, at least 30m; 24h unless given")
	cmd.Flags().BoolVar(&compromised, "compromised", false, "withdraw the current key at once")
	a.confirmable(cmd)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		body := wire.KeyRotationBody{Algorithm: algorithm, Compromised: compromised}
		if given(cmd, "publish-ahead") {
			if compromised {
				return usagef("--compromised replaces the key at once: it goes without --publish-ahead")
			}
			at := s.print.now().Add(ahead).UTC()
			body.ActiveAt = &at
		}
		if compromised {
			if err := s.confirm("withdraw the current %s key: every token that it signed is refused at once", algorithm); err != nil {
				return err
			}
		}
		made, err := s.api.do(ctx, request{method: http.MethodPost, path: "/keys/rotate", body: body})
		if err != nil {
			return err
		}
		return printOne(s.print, made.body, keyRows(s.print))
	})
	return cmd
}

func newKeyRevokeCmd(a *app) *cobra.Command {
	return a.confirmable(&cobra.Command{
		Use: "revoke KID", Short: "Withdraw a signing key: all that it signed is refused", Args: arguments, ValidArgsFunction: a.complete(keyIDs),
		Example: "  countersign key revoke key_0vN6d1hYQm3ZJ4cW8kXb2T --yes",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			if err := s.confirm("withdraw key %s: every token that it signed is refused at once", args[0]); err != nil {
				return err
			}
			done, err := s.api.do(ctx, request{method: http.MethodPost, path: path("keys", args[0], "revoke")})
			if err != nil {
				return err
			}
			return s.revoked(done.body)
		}),
	})
}
