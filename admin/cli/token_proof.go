package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/sdk/proof"
)

// maxToken bounds a token that is read, in bytes.
const maxToken = 16 << 10

func newTokenProofCmd(a *app) *cobra.Command {
	var key, nonce string
	cmd := &cobra.Command{
		Use: "proof METHOD URL", Short: "Make the DPoP proof for one request with a bound token", Args: arguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make the DPoP proof (RFC 9449) for one request that bears a token of `countersign token get --dpop-key-file`,\n" +
			"and print it, for the header DPoP. The token is read from standard input. It is good for this method and\n" +
			"URL, once, and for a minute or so. Nothing is asked of any server.",
		Example: "  countersign token proof GET https://inventory.example/items --dpop-key-file orders.pem < orders.token",
	}
	cmd.Flags().StringVar(&key, "dpop-key-file", "", "`file` with the private key that the token is bound to")
	cmd.Flags().StringVar(&nonce, "nonce", "", "`text` of the header DPoP-Nonce of the answer before, if it had one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := a.proof(cmd.Context(), key, nonce, args[0], args[1])
		if err == nil {
			_, err = fmt.Fprintln(a.env.Stdout, text)
		}
		return err
	}
	return cmd
}

func (a *app) proof(ctx context.Context, keyFile, nonce, method, at string) (string, error) {
	if keyFile == "" {
		return "", usagef("--dpop-key-file is missing: the key that the token is bound to")
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", usagef("URL is %q: allowed is an absolute http or https URL", at)
	}
	key, err := readKey(ctx, keyFile)
	if err != nil {
		return "", err
	}
	token, err := io.ReadAll(io.LimitReader(a.env.Stdin, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	text := strings.TrimSpace(string(token))
	if text == "" || len(text) > maxToken {
		return "", usagef("read the token: standard input is empty or too long")
	}
	return key.DPoP(proof.Use{Method: method, URL: u, AccessToken: text, Nonce: nonce}) //nolint:wrapcheck // says what is wrong
}
