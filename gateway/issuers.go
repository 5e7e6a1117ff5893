package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/sdk"
)

// Issuers are the verifiers of a document's issuers. Those whose settings a new document leaves as they are go on, with all that they
// know. Its methods are for one goroutine.
type Issuers struct {
	Logger *slog.Logger // nil: nothing is logged

	running map[string]issuer
}

// issuer is a verifier with the settings that it was made of.
type issuer struct {
	settings Issuer
	verifier *sdk.Verifier
}

// Prepared are the verifiers for a document that is not in force yet.
type Prepared struct {
	// Verifiers judge tokens, by the issuer's name in the document.
	Verifiers map[string]*sdk.Verifier

	issuers *Issuers
	next    map[string]issuer
	fresh   []*sdk.Verifier
}

// Prepare makes the verifiers of a document, or takes over those that run. It does no I/O beyond reading files. Either Commit or
// Discard is to be called, before another Prepare.
func (s *Issuers) Prepare(d *Document, source *document.Source) (*Prepared, error) {
	p := &Prepared{Verifiers: map[string]*sdk.Verifier{}, issuers: s, next: map[string]issuer{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.Issuers)) {
		settings := d.Issuers[name]
		one, ok := s.running[name]
		if !ok || !reflect.DeepEqual(one.settings, settings) {
			verifier, err := settings.verifier(d.audience(name), s.logger())
			if err != nil {
				errs = append(errs, source.Errorf("issuers."+name, "%s", err))
				continue
			}
			one = issuer{settings, verifier}
			p.fresh = append(p.fresh, verifier)
		}
		p.next[name], p.Verifiers[name] = one, one.verifier
	}
	if len(errs) > 0 {
		p.Discard()
		return nil, errors.Join(errs...)
	}
	return p, nil
}

func (s *Issuers) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// Fresh are the verifiers that did not run before.
func (p *Prepared) Fresh() []*sdk.Verifier { return p.fresh }

// Commit puts the verifiers into force. It returns those that are in force no longer, to be closed once nobody uses them.
func (p *Prepared) Commit() (gone []*sdk.Verifier) {
	for name, one := range p.issuers.running {
		if p.next[name].verifier != one.verifier {
			gone = append(gone, one.verifier)
		}
	}
	p.issuers.running = p.next
	return gone
}

// Discard closes what was made for nothing.
func (p *Prepared) Discard() {
	for _, v := range p.fresh {
		_ = v.Close() // always nil
	}
}

// Close ends all verifiers.
func (s *Issuers) Close() {
	for _, one := range s.running {
		_ = one.verifier.Close() // always nil
	}
	s.running = nil
}

// audience is that of the first route whose tokens are the issuer's: a verifier has one of its own.
func (d *Document) audience(name string) string {
	for _, r := range d.Routes {
		if r.Authentication != authNone && r.Audience != "" && (r.Issuer == name || r.Issuer == "" && len(d.Issuers) == 1) {
			return r.Audience
		}
	}
	return "urn:countersign:none" // no route asks for one
}

// verifier makes one. It keeps what it learns to itself until it is used.
func (i Issuer) verifier(audience string, log *slog.Logger) (*sdk.Verifier, error) {
	opts := []sdk.VerifierOption{
		sdk.WithLogger(log), sdk.WithBound(i.Bound), sdk.WithGrace(i.Grace), sdk.WithLeeway(i.Leeway), sdk.WithKeysMaxAge(i.KeysMaxAge),
		sdk.WithTimeout(i.Timeout), sdk.WithCacheSize(i.CacheSize),
	}
	credentials, err := i.credentials()
	if err != nil {
		return nil, err
	}
	opts = append(opts, credentials...)
	if i.CA != "" {
		client, err := i.client()
		if err != nil {
			return nil, err
		}
		opts = append(opts, sdk.WithHTTPClient(client))
	}
	if len(i.Addresses) > 0 {
		opts = append(opts, sdk.WithAddresses(i.Addresses...))
	}
	if len(i.Algorithms) > 0 {
		opts = append(opts, sdk.WithAlgorithms(i.Algorithms...))
	}
	if i.StateFile != "" {
		opts = append(opts, sdk.WithStateFile(i.StateFile))
	}
	if i.Revocation == "none" {
		opts = append(opts, sdk.WithoutRevocation())
	}
	if i.LegacyTokens {
		opts = append(opts, sdk.WithLegacyTokens())
	}
	v, err := sdk.NewVerifier(i.URL, audience, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.URL, err)
	}
	return v, nil
}

// credentials are as whom the verifier asks.
func (i Issuer) credentials() ([]sdk.VerifierOption, error) {
	switch {
	case i.ClientSecret != "" && i.SecretFile != "":
		return nil, errors.New("client_secret and client_secret_file are both set: allowed is one of them")
	case i.ClientID == "" && (i.ClientSecret != "" || i.SecretFile != ""):
		return nil, errors.New("client_id is missing, whose secret is set")
	case i.ClientSecret != "":
		return []sdk.VerifierOption{sdk.WithCredentials(i.ClientID, sdk.Secret(i.ClientSecret))}, nil
	case i.SecretFile != "":
		return []sdk.VerifierOption{sdk.WithCredentials(i.ClientID, sdk.SecretFile(i.SecretFile))}, nil
	case i.ClientID != "":
		return nil, errors.New("client_id is set and no secret: want client_secret_file")
	}
	return nil, nil
}

// client trusts the issuer's own certificate authority.
func (i Issuer) client() (*http.Client, error) {
	text, err := os.ReadFile(i.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca: %s holds no certificate in PEM", i.CA)
	}
	base, _ := http.DefaultTransport.(*http.Transport)
	transport := base.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}
