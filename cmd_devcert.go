package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/devcert"
)

const day = 24 * time.Hour

func newDevCertCmd(env environment) *cobra.Command {
	c := devcert.Config{Now: time.Now}
	cmd := &cobra.Command{
		Use: "dev-cert NAME... | FOLDER=NAME,NAME...", Short: "Make a private certificate authority and a server's certificate, for development",
		Long: "Make a certificate for a server under these DNS names and IP addresses, and the private certificate\n" +
			"authority that signs it: ca.crt, ca.key, tls.crt and tls.key in a folder. Run again, it keeps the authority,\n" +
			"and the certificate while it is good: names as given, a third of its life left. What it did not make itself\n" +
			"it leaves alone. Servers and proxies read a new certificate by themselves. FOLDER=NAME,NAME makes a\n" +
			"certificate in a folder below that of --dir, and may be repeated.\n\n" +
			"For development only: whoever reads ca.key can pretend to be any server to those who trust ca.crt, and\n" +
			"nothing can be revoked. In production take your organization's authority or a public one.",
		Example: "  countersign dev-cert --dir certs localhost 127.0.0.1\n" +
			"  countersign dev-cert --ca-dir certs/ca --dir certs auth=auth.internal lb=lb.internal,localhost",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("no name: allowed is `countersign dev-cert NAME...`, such as localhost 127.0.0.1")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			certificates, err := certificatesOf(c, args)
			if err != nil {
				return err
			}
			for _, one := range certificates { // before anything is made
				if err := one.Validate(); err != nil {
					return usageError{err}
				}
			}
			for _, one := range certificates {
				made, err := devcert.Make(one)
				if err == nil {
					err = printMade(env, one, made)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&c.Folder, "dir", ".", "`folder` for tls.crt, tls.key and ca.crt")
	cmd.Flags().StringVar(&c.AuthorityFolder, "ca-dir", "", "`folder` that keeps the authority, ca.crt and ca.key; by default that of --dir")
	cmd.Flags().DurationVar(&c.Lifetime, "lifetime", 90*day, "`time` after which the certificate ends")
	cmd.Flags().DurationVar(&c.AuthorityLifetime, "ca-lifetime", 5*365*day, "`time` after which an authority that is made ends")
	cmd.Flags().BoolVar(&c.Force, "force", false, "replace the certificate that is there, whatever it is; the authority is never replaced")
	return cmd
}

// certificatesOf returns what to make: one certificate for all arguments, or one for each FOLDER=NAME,NAME.
func certificatesOf(c devcert.Config, args []string) (all []devcert.Config, err error) {
	if !strings.Contains(args[0], "=") {
		c.Names = args
		return []devcert.Config{c}, nil
	}
	if c.AuthorityFolder == "" {
		c.AuthorityFolder = c.Folder
	}
	for _, arg := range args {
		folder, names, found := strings.Cut(arg, "=")
		if !found || !filepath.IsLocal(folder) {
			return nil, usageError{fmt.Errorf("got %q: allowed is FOLDER=NAME,NAME with a folder below that of --dir, for all or for none", arg)}
		}
		one := c
		one.Folder, one.Names = filepath.Join(c.Folder, folder), strings.Split(names, ",")
		all = append(all, one)
	}
	return all, nil
}

func printMade(env environment, c devcert.Config, made devcert.Made) error {
	if made.Authority {
		fmt.Fprintln(env.stderr, "countersign: a certificate authority for development only: whoever reads its ca.key can pretend to be any server")
	}
	verb := "kept"
	if made.Certificate {
		verb = "made"
	}
	_, err := fmt.Fprintf(env.stdout, "%s the certificate in %s; it ends at %s\n", verb, c.Folder, made.NotAfter.Format(time.RFC3339))
	return err //nolint:wrapcheck // standard output is gone
}
