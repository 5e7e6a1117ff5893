package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthURL is where a role answers by default in a container: each has its admin port at 9090 there.
const healthURL = "http://127.0.0.1:9090/readyz"

// healthSettings say how a process is asked whether it is ready.
type healthSettings struct {
	url     string
	ca      string // PEM file; empty: the system's authorities
	timeout time.Duration
}

func newHealthCmd(env environment) *cobra.Command {
	s := healthSettings{url: healthURL}
	cmd := &cobra.Command{
		Use: "health [URL]", Short: "Ask a running process whether it is ready",
		Long: "Ask a running process whether it is ready: GET the URL, by default " + healthURL + ".\n" +
			"It is the health check of a container whose image has no shell and no curl. Exit codes: 0 ready (200), 1 not\n" +
			"ready or no answer, 2 wrong usage.",
		Example: "  countersign health\n  countersign health http://127.0.0.1:9091/readyz\n" +
			"  countersign health --ca ca.crt https://localhost:9000/.well-known/oauth-authorization-server",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("got %q: allowed is `countersign health [URL]`", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.url = args[0]
			}
			if strings.Contains(s.url, "@") { // what stands before it may be a password, and checks end up in logs
				return usageError{fmt.Errorf("URL has a user: allowed is an http or https URL without one, such as %s", healthURL)}
			}
			if u, err := url.Parse(s.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return usageError{fmt.Errorf("URL is %q: allowed is an http or https URL, such as %s", s.url, healthURL)}
			}
			if s.timeout <= 0 {
				return usageError{fmt.Errorf("--timeout is %v: allowed is a time above 0, such as 2s", s.timeout)}
			}
			if err := s.ask(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(env.stdout, "ready")
			return err //nolint:wrapcheck // standard output is gone
		},
	}
	cmd.Flags().StringVar(&s.ca, "ca", "", "PEM `file` with the certificate authorities to trust in place of the system's")
	cmd.Flags().DurationVar(&s.timeout, "timeout", 2*time.Second, "`time` within which it must answer")
	return cmd
}

// maxReason is how much of an answer is shown, in bytes.
const maxReason = 512

// ask returns nil if the answer is 200.
func (s healthSettings) ask(ctx context.Context) error {
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy: it is asked about this very process
	if s.ca != "" {
		text, err := os.ReadFile(s.ca)
		if err != nil {
			return usageError{fmt.Errorf("--ca: %w", err)}
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return usageError{fmt.Errorf("--ca is %s: allowed is a file with certificates in PEM, and it holds none", s.ca)}
		}
	}
	client := http.Client{
		Transport: transport, Timeout: s.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.url, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err) // it names the URL
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(response.Body, maxReason))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", s.url, err)
	}
	return fmt.Errorf("%s is not ready: it answers %s: %s", s.url, response.Status, strings.Join(strings.Fields(string(reason)), " "))
}
