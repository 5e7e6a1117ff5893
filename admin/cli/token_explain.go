package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newTokenExplainCmd(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "explain [JTI]", Short: "Tell where a token comes from, and whether it is still good", Args: arguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Draw the chain of a token: the client at its beginning, each exchange, what each token is for and bound\n" +
			"to, and which revocation refuses it. The token itself is read from --token-file, where - is standard\n" +
			"input, never from the command line. Only the id in it is looked at, not its signature. It ends with exit\n" +
			"code 0 if the token is good, 1 if not.",
		Example: "  countersign token explain 1JmXbU0a6dYw8cPz4kQe2r\n  pbpaste | countersign token explain --token-file -",
	}
	cmd.Flags().StringVar(&file, "token-file", "", "`file` with the token; - is standard input")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		jti, err := s.tokenID(args, file)
		if err != nil {
			return err
		}
		got, err := s.api.do(ctx, request{method: http.MethodGet, path: path("tokens", jti)})
		if err != nil {
			return err
		}
		return s.printChain(ctx, got.body)
	})
	return cmd
}

// tokenID returns the id that was given, or that of the token in a file.
func (s *session) tokenID(args []string, file string) (string, error) {
	const digits = 22
	switch {
	case len(args) == 1 && file != "":
		return "", usagef("a JTI goes without --token-file")
	case len(args) == 1 && len(args[0]) > digits:
		return "", usagef("JTI has 22 characters; the token itself is read from --token-file, never from the command line, where others see it")
	case len(args) == 1:
		return args[0], nil
	case file == "":
		return "", usagef("what to explain is missing: a JTI, or --token-file")
	}
	if file == "-" && s.env.Interactive {
		s.note("paste the token, then press Enter and Ctrl-D:")
	}
	token, err := s.readValue(file)
	if err != nil {
		return "", err
	}
	if jti := idIn(token); jti != "" {
		return jti, nil
	}
	return "", usagef("what was read is no token of Countersign: allowed is an opaque token (cs_at_…) or a JWT with a jti")
}

// idIn returns the id that a token has in it, without checking anything; empty if it is none.
func idIn(token string) string {
	form := regexp.MustCompile(`^[0-9A-Za-z]{22}$`)
	if rest, opaque := strings.CutPrefix(token, "cs_at_"); opaque && len(rest) > 22 {
		return form.FindString(rest[:22])
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		ID string `json:"jti"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return form.FindString(claims.ID)
}

// printChain draws the chain from its beginning, and says what the last token is worth.
func (s *session) printChain(ctx context.Context, body json.RawMessage) error {
	t, err := decode[wire.Token](body)
	if err != nil {
		return err
	}
	if s.print.machine() {
		err = s.print.raw(body)
	} else {
		err = s.drawChain(ctx, t)
	}
	if err == nil && t.Status != "active" {
		err = &remoteError{what: "the token is refused"}
	}
	return err
}

func (s *session) drawChain(ctx context.Context, t wire.Token) error {
	ids := []string{t.Client, t.API}
	for _, a := range t.Ancestors {
		ids = append(ids, a.Client)
	}
	known, err := s.names(ctx, ids)
	if err != nil {
		return err
	}
	hops := hopsOf(t, known)
	s.print.line("subject  %s", clientText(known, hops[0].Client))
	for depth, hop := range hops {
		s.drawHop(depth, hop, known)
	}
	if t.MayAct != "" {
		s.print.line("only %s may exchange it", t.MayAct)
	}
	s.print.line("verdict  %s", verdict(t, hops))
	return nil
}

// hopsOf lists the tokens of a chain from the first to the one that was asked about.
func hopsOf(t wire.Token, known names) (hops []wire.TokenFormer) {
	for _, former := range slices.Backward(t.Ancestors) {
		hops = append(hops, former)
	}
	return append(hops, wire.TokenFormer{
		ID: t.ID, Client: t.Client, Secret: t.Secret, Audience: known.of(t.API), Scope: t.Scope, Issued: &t.Issued, Expires: &t.Expires, Status: t.Status,
		Binding: t.Binding, RefusedBy: t.RefusedBy,
	})
}

func (s *session) drawHop(depth int, hop wire.TokenFormer, known names) {
	margin, branch := strings.Repeat("   ", depth), ""
	if depth > 0 {
		margin, branch = margin[3:], "└─ "
	}
	s.print.line("%s%s%s for %s", margin, branch, clientText(known, hop.Client), hop.Audience)
	if depth > 0 {
		margin += "   "
	}
	for _, row := range []row{
		{"jti", hop.ID},
		{"scope", hop.Scope},
		{"issued", s.maybe(hop.Issued)},
		{"expires", s.maybe(hop.Expires)},
		{"secret_id", hop.Secret},
		{"bound to", boundTo(hop.Binding)},
		{"status", standing(hop)},
	} {
		if row.value != "" {
			s.print.line("%s   %-9s  %s", margin, row.name, row.value)
		}
	}
}

func (s *session) maybe(t *time.Time) string {
	if t == nil {
		return ""
	}
	return s.print.moment(*t)
}

// clientText tells a client by name and id.
func clientText(known names, id string) string {
	if name, ok := known[id]; ok {
		return name + " (" + id + ")"
	}
	return id
}

func boundTo(b *wire.Binding) string {
	var all []string
	if b != nil && b.JWK != "" {
		all = append(all, "the DPoP key "+b.JWK)
	}
	if b != nil && b.Certificate != "" {
		all = append(all, "the certificate "+b.Certificate)
	}
	return strings.Join(all, " and ")
}

// standing says what became of one token of a chain.
func standing(hop wire.TokenFormer) string {
	if hop.RefusedBy == nil {
		return hop.Status
	}
	return hop.Status + ", refused by " + entryText(hop.RefusedBy)
}

func entryText(by *wire.RefusedBy) string {
	if by.Sequence == 0 {
		return "the deletion of its API"
	}
	return "entry " + strconv.FormatUint(by.Sequence, 10) + " of kind " + by.Kind
}

// verdict says what the last token of a chain is worth, and why.
func verdict(t wire.Token, hops []wire.TokenFormer) string {
	for _, hop := range hops {
		switch {
		case hop.RefusedBy == nil:
		case hop.ID == t.ID:
			return "refused by " + entryText(hop.RefusedBy)
		default:
			return fmt.Sprintf("refused with %s, which it was made from: by %s", hop.ID, entryText(hop.RefusedBy))
		}
	}
	return t.Status
}
