package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkredis"
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
	store    io.Closer // connections to the token store; nil: there is none
}

func (i issuer) close() {
	_ = i.verifier.Close() // always nil
	if i.store != nil {
		_ = i.store.Close() // there is nothing to be done about it
	}
}

// Prepared are the verifiers for a document that is not in force yet.
type Prepared struct {
	// Verifiers judge tokens, by the issuer's name in the document.
	Verifiers map[string]*sdk.Verifier

	issuers *Issuers
	next    map[string]issuer
	fresh   []issuer
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
			var err error
			if one, err = settings.open(d.audience(name), s.logger()); err != nil {
				errs = append(errs, source.Errorf("issuers."+name, "%s", err))
				continue
			}
			p.fresh = append(p.fresh, one)
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
func (p *Prepared) Fresh() (all []*sdk.Verifier) {
	for _, one := range p.fresh {
		all = append(all, one.verifier)
	}
	return all
}

// Commit puts the verifiers into force. What it returns closes those that are in force no longer, once nobody uses them.
func (p *Prepared) Commit() (closeFormer func()) {
	var gone []issuer
	for name, one := range p.issuers.running {
		if p.next[name].verifier != one.verifier {
			gone = append(gone, one)
		}
	}
	p.issuers.running = p.next
	return func() {
		for _, one := range gone {
			one.close()
		}
	}
}

// Discard closes what was made for nothing.
func (p *Prepared) Discard() {
	for _, one := range p.fresh {
		one.close()
	}
}

// Close ends all verifiers.
func (s *Issuers) Close() {
	for _, one := range s.running {
		one.close()
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

// open makes a verifier. It does no I/O until it is used.
func (i Issuer) open(audience string, log *slog.Logger) (issuer, error) {
	opts := []sdk.VerifierOption{
		sdk.WithLogger(log), sdk.WithBound(i.Bound), sdk.WithGrace(i.Grace), sdk.WithLeeway(i.Leeway), sdk.WithKeysMaxAge(i.KeysMaxAge),
		sdk.WithTimeout(i.Timeout), sdk.WithCacheSize(i.CacheSize),
	}
	credentials, err := i.credentials()
	if err != nil {
		return issuer{}, err
	}
	opts = append(opts, credentials...)
	if i.CA != "" {
		client, err := i.client()
		if err != nil {
			return issuer{}, err
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
	made := issuer{settings: i}
	if i.TokenStore != nil {
		store, more, err := i.TokenStore.open()
		if err != nil {
			return issuer{}, fmt.Errorf("token_store: %w", err)
		}
		made.store, opts = store, append(opts, more...)
	}
	if made.verifier, err = sdk.NewVerifier(i.URL, audience, opts...); err != nil {
		err = fmt.Errorf("%s: %w", i.URL, err)
		if made.store != nil {
			err = errors.Join(err, made.store.Close())
		}
		return issuer{}, err
	}
	return made, nil
}

// open connects to the token store, and says for which APIs it is asked.
func (s *TokenStore) open() (*sdkredis.Store, []sdk.VerifierOption, error) {
	address, err := secretOf("redis", s.Redis, s.RedisFile)
	if err != nil {
		return nil, nil, err
	}
	if address == "" {
		return nil, nil, errors.New("redis_file is missing")
	}
	store, err := sdkredis.Open(address)
	if err != nil {
		return nil, nil, fmt.Errorf("redis: %w", err)
	}
	var opts []sdk.VerifierOption
	for audience, id := range s.APIs {
		opts = append(opts, sdk.WithTokenStoreFor(audience, store, id))
	}
	return store, opts, nil
}

// secretOf returns the value of a member that may be given as a file.
func secretOf(name, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("%s and %s_file are both set: allowed is one of them", name, name)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
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
