package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newSecretRevokeCmd(a *app) *cobra.Command {
	var leaked bool
	cmd := &cobra.Command{
		Use: "revoke --leaked [FILE]", Short: "Report a leaked secret or token: it is refused from now on", Args: oneFile,
		Long: "Report a value that was found where it should not be: a client secret or an access token. It is read\n" +
			"from FILE or standard input, never from the command line. A secret is disabled, its tokens are taken\n" +
			"back, and the secrets that were made with it are disabled too; a token is taken back. There is no\n" +
			"question: whoever has the value could use it.",
		Example: "  countersign secret revoke --leaked found.txt\n  pbpaste | countersign secret revoke --leaked",
	}
	cmd.Flags().BoolVar(&leaked, "leaked", false, "the value that follows is leaked")
	cmd.RunE = a.run(func(ctx context.Context, s *session, args []string) error {
		if !leaked {
			return usagef("a value is revoked by `countersign secret revoke --leaked`, a secret of known id by `countersign secret disable`")
		}
		name := "-"
		if len(args) == 1 {
			name = args[0]
		}
		if name == "-" && s.env.Interactive {
			s.note("paste the value, then press Enter and Ctrl-D:")
		}
		value, err := s.readValue(name)
		if err != nil {
			return err
		}
		done, err := s.api.do(ctx, request{method: http.MethodPost, path: "/leaks", body: wire.LeakBody{Value: value}})
		if err != nil {
			return err
		}
		return s.printLeak(done)
	})
	return cmd
}

// oneFile takes at most one argument: Use shows the flag as well.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("got %d arguments: allowed is `countersign secret revoke --leaked [FILE]`", len(args))
	}
	return nil
}

// printLeak tells what became of the value. A value of which the server knows nothing is an error: it may be the wrong system, and it
// goes on being good wherever it is from.
func (s *session) printLeak(done answer) error {
	leak, err := decode[wire.Leak](done.body)
	if err != nil {
		return err
	}
	if s.print.machine() {
		err = s.print.raw(done.body)
	} else {
		switch leak.Kind {
		case "secret":
			s.print.line("secret %s of client %s is disabled, %s%s", leak.Secret, leak.Client, tookBack(leak.Hit), reached(leak.Reached))
		case "token":
			s.print.line("token %s of client %s is taken back", leak.Token, leak.Client)
		}
	}
	if err == nil && leak.Kind == "unknown" {
		err = &remoteError{status: http.StatusNotFound, what: "the value is no secret and no token of this server, so nothing was revoked"}
	}
	return err
}

func reached(secrets []string) string {
	switch len(secrets) {
	case 0:
		return ""
	case 1:
		return "; 1 secret that was made with it is disabled too: " + secrets[0]
	}
	return fmt.Sprintf("; %d secrets that were made with it are disabled too: %v", len(secrets), secrets)
}
