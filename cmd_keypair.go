package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/privatefile"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

func newKeyPairCmd(env environment) *cobra.Command {
	parent := &cobra.Command{
		Use: "key-pair", Short: "Make the key pair of a client, or show its public half",
		Long: "A client that has a key pair needs no secret (private_key_jwt), and can have its tokens bound to the key\n" +
			"(DPoP). The private half stays with the client, in a file for its owner alone; the public half is a JWK set,\n" +
			"which the client is registered with.",
	}
	asGroup(parent)
	parent.AddCommand(newKeyPairCreateCmd(env), newKeyPairShowCmd(env))
	return parent
}

func newKeyPairCreateCmd(env environment) *cobra.Command {
	algorithm := string(jose.ES256)
	cmd := &cobra.Command{
		Use: "create FILE", Short: "Make a private key in a file that does not exist yet, and print its public half", Args: arguments("FILE"),
		Example: "  countersign key-pair create orders.pem > orders.jwks",
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s exists already and was left alone: name a file that does not", args[0])
			}
			private, err := generateKey(jose.Algorithm(algorithm))
			if err != nil {
				return err
			}
			key, err := proof.NewKey(private, proof.KeyOptions{})
			if err != nil {
				return fmt.Errorf("make the key: %w", err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return fmt.Errorf("encode the key: %w", err)
			}
			if err := privatefile.Write(args[0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
				return err
			}
			return printPublic(env, key)
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", algorithm, "`algorithm` that the key is for: ES256 (P-256) or EdDSA (Ed25519)")
	_ = cmd.RegisterFlagCompletionFunc("algorithm", cobra.FixedCompletions([]string{"ES256", "EdDSA"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func newKeyPairShowCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Print the public half of a private key", Args: arguments("FILE"),
		Long: "Print the public half of a private key, PEM or JWK, as the JWK set that a client is registered\n" +
			"with. The kid is the JWK's, else the key's thumbprint (RFC 7638).",
		Example: "  countersign key-pair show orders.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := proof.NewKeyFile(args[0], proof.KeyOptions{}).Key(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return usageError{err}
			}
			return printPublic(env, key)
		},
	}
}

func generateKey(a jose.Algorithm) (crypto.Signer, error) {
	switch a { //nolint:exhaustive // the rest is refused
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) //nolint:wrapcheck // it never fails
	case jose.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err //nolint:wrapcheck // it never fails
	}
	return nil, usageError{fmt.Errorf("--algorithm is %q: allowed are ES256 and EdDSA", string(a))}
}

// printPublic prints the JWK set of a key, RFC 7517 §5.
func printPublic(env environment, key *proof.Key) error {
	var out bytes.Buffer
	set, err := json.Marshal(map[string]any{"keys": []json.RawMessage{key.PublicJWK()}})
	if err == nil {
		err = json.Indent(&out, set, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("encode the public key: %w", err)
	}
	_, err = fmt.Fprintln(env.stdout, out.String())
	return err //nolint:wrapcheck // standard output is gone
}
