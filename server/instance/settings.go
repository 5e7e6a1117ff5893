// Package instance is one authorization server with all its parts wired: the composition root of the `server` command, of
// `up` and of tests.
package instance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/outbound"
)

// Settings are what an operator sets, by the names in the tags (package config).
type Settings struct {
	Listen                   string        `name:"listen" default:"127.0.0.1:9001" help:"address of the public endpoints"`
	AdminListen              string        `name:"admin-listen" default:"127.0.0.1:9091" help:"address of health, metrics and administration"`
	Issuer                   string        `name:"issuer" help:"issuer identifier, an https URL, or http on loopback; by default http:// and the listen address"`
	Database                 string        `name:"database" secret:"true" default:"sqlite:countersign.db" help:"mysql://user:password@host:port/database or sqlite:PATH"`
	DatabaseTimeout          time.Duration `name:"database-timeout" default:"2s" help:"how long the database may be silent before a request fails"`
	Migrate                  bool          `name:"migrate" default:"true" help:"bring the schema up to date at start"`
	TokenStore               string        `name:"token-store" secret:"true" default:"memory" help:"memory, redis://[user:password@]host:port/db, rediss://… or redis+sentinel://…"`
	TokenStoreDirect         bool          `name:"token-store-direct" default:"false" help:"sign token-store records so that services may read them themselves"`
	MasterKeyFile            string        `name:"master-key-file" default:"master.key" help:"file with the master key, as master-key create writes it"`
	KeyRotation              time.Duration `name:"key-rotation" default:"2160h" help:"time from one signing key to the next"`
	AuditRetention           time.Duration `name:"audit-retention" default:"9600h" help:"how long the audit log is kept"`
	BootstrapAdminSecretFile string        `name:"bootstrap-admin-secret-file" help:"file with the secret of the admin client that the first start makes; without it one is made and printed"`
	BootstrapAdminClientID   string        `name:"bootstrap-admin-client-id" help:"id (cl_…) of that client, for pipelines that must know it beforehand; without it one is made"`
	TokenBudget              int           `name:"token-budget" default:"1000" help:"tokens that a client may get for an API within 70% of their lifetime, beyond a few for each of its addresses; 0: any number"`
	FailureLimit             int           `name:"failure-limit" default:"300" help:"failed authentications a minute from one address, after which it is answered 429; 0: any number"`
	ScanLimit                int           `name:"scan-limit" default:"6000" help:"introspections a minute of one client that find no live token, after which it is answered 429; 0: any number"`
	TLSCert                  string        `name:"tls-cert" help:"PEM file with the certificate chain of the public listener; reloaded when it changes"`
	TLSKey                   string        `name:"tls-key" help:"PEM file with its private key"`
	TLSRequestClientCert     bool          `name:"tls-request-client-cert" default:"false" help:"ask clients of the public listener for a certificate (mutual TLS)"`
	TLSClientCA              string        `name:"tls-client-ca" help:"PEM file with the authorities of clients that authenticate by tls_client_auth; reloaded when it changes"`
	MTLSListen               string        `name:"mtls-listen" help:"address of a second public listener, which asks clients for a certificate, beside one that does not"`
	MTLSURL                  string        `name:"mtls-url" help:"https URL, without path, by which clients with certificates reach the server (mtls_endpoint_aliases)"`
	ClientCertFrom           []string      `name:"client-cert-from" help:"addresses and networks of proxies that end TLS, and whose Client-Cert header (RFC 9440) is believed"`
	DPoPNonceRequired        bool          `name:"dpop-nonce-required" default:"false" help:"take DPoP proofs only with a nonce of the server"`
	OutboundAllow            []string      `name:"outbound-allow" help:"networks, addresses and host names that key sets may be fetched from though they are not on the internet"`
	OutboundCA               string        `name:"outbound-ca" help:"PEM file with authorities of servers that key sets are fetched from, beside the system's"`
	TrustedProxies           []string      `name:"trusted-proxies" help:"addresses and networks whose X-Forwarded-For and X-Request-Id are believed"`
	DrainDelay               time.Duration `name:"drain-delay" default:"0s" help:"how long requests are still accepted after a signal to end, for load balancers to notice"`
	DrainTimeout             time.Duration `name:"drain-timeout" default:"10s" help:"how long requests in flight may take to finish"`
	LogLevel                 string        `name:"log-level" default:"info" oneof:"debug|info|warn|error" help:"debug, info, warn or error"`
}

// minAuditRetention keeps a slip of the keyboard from emptying the audit log.
const minAuditRetention = 24 * time.Hour

// DefaultSettings returns the defaults.
func DefaultSettings() (s Settings) {
	config.Defaults(&s)
	return s
}

// Validate checks what does not need another machine, and fills in what depends on other settings. The error joins everything
// that is wrong.
func (s *Settings) Validate() error {
	var errs []error
	for _, one := range []struct{ name, address string }{{"listen", s.Listen}, {"admin_listen", s.AdminListen}} {
		if !isAddress(one.address) {
			errs = append(errs, fmt.Errorf("setting %s is %q: allowed is host:port, such as 127.0.0.1:9001 or :9001", one.name, one.address))
		}
	}
	hint := ""
	if s.Issuer == "" {
		s.Issuer, hint = "http://"+s.Listen, "; it was made from listen since it is not set"
	}
	const allowed = "allowed is an https URL, or an http one on loopback, without user, query and fragment (RFC 8414 §2)"
	switch {
	case strings.Contains(s.Issuer, "@") && !isIssuer(s.Issuer): // what stands before it may be a password
		errs = append(errs, errors.New("setting issuer has a user or is malformed: "+allowed))
	case !isIssuer(s.Issuer) && (hint == "" || isAddress(s.Listen)):
		errs = append(errs, fmt.Errorf("setting issuer is %q: %s%s", s.Issuer, allowed, hint))
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("settings tls_cert and tls_key go together: one of them is missing"))
	}
	errs = append(errs, s.validateMutualTLS()...)
	if least := 2 * keys.PublishAhead; s.KeyRotation < least {
		errs = append(errs, fmt.Errorf("setting key_rotation is %v: at least %v is allowed, since a key is published %v before it signs", s.KeyRotation, least, keys.PublishAhead))
	}
	if s.AuditRetention < minAuditRetention {
		errs = append(errs, fmt.Errorf("setting audit_retention is %v: at least %v is allowed", s.AuditRetention, minAuditRetention))
	}
	for _, one := range []struct {
		name  string
		value int
	}{{"token_budget", s.TokenBudget}, {"failure_limit", s.FailureLimit}, {"scan_limit", s.ScanLimit}} {
		if one.value < 0 || one.value > abuse.MaxLimit {
			errs = append(errs, fmt.Errorf("setting %s is %d: allowed is 1 to %d, or 0 for no limit", one.name, one.value, abuse.MaxLimit))
		}
	}
	if _, err := auth.ParseClientID(s.BootstrapAdminClientID); err != nil && s.BootstrapAdminClientID != "" {
		errs = append(errs, fmt.Errorf("setting bootstrap_admin_client_id is %q: allowed is an id that a client can have, cl_ and 22 letters and digits", s.BootstrapAdminClientID))
	}
	if s.TokenStoreDirect && s.TokenStore == inProcess {
		errs = append(errs, fmt.Errorf("setting token_store_direct is on and token_store is %q: services read records from Redis only", inProcess))
	}
	if s.TokenStore != inProcess {
		redis, err := redisconn.Open(s.TokenStore, redisconn.Config{}) // does no I/O
		if err != nil {
			errs = append(errs, fmt.Errorf("setting token_store: %w; %q is allowed too", err, inProcess))
		} else {
			errs = append(errs, redis.Close())
		}
	}
	if _, err := httpx.ParseProxies(s.TrustedProxies); err != nil {
		errs = append(errs, fmt.Errorf("setting trusted_proxies: %w", err))
	}
	return errors.Join(errs...)
}

func (s *Settings) validateMutualTLS() (errs []error) {
	if s.TLSCert == "" && (s.TLSRequestClientCert || s.MTLSListen != "") {
		errs = append(errs, errors.New("settings tls_request_client_cert and mtls_listen need tls_cert and tls_key"))
	}
	if s.MTLSListen != "" && !isAddress(s.MTLSListen) {
		errs = append(errs, fmt.Errorf("setting mtls_listen is %q: allowed is host:port, such as 127.0.0.1:9443 or :9443", s.MTLSListen))
	}
	if u, err := url.Parse(s.MTLSURL); s.MTLSURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" ||
		strings.ContainsAny(s.MTLSURL, "?#")) {
		errs = append(errs, errors.New("setting mtls_url: allowed is an https URL without user, path, query and fragment"))
	}
	if s.MTLSURL != "" && !s.mutualTLS() {
		errs = append(errs, errors.New("setting mtls_url is of no use without tls_request_client_cert, mtls_listen or client_cert_from"))
	}
	if _, err := httpx.ParseProxies(s.ClientCertFrom); err != nil {
		errs = append(errs, fmt.Errorf("setting client_cert_from: %w", err))
	}
	if _, err := outbound.New(outbound.Config{Allow: s.OutboundAllow, CAFile: s.OutboundCA}); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// mutualTLS reports whether a client can have a certificate at all.
func (s *Settings) mutualTLS() bool {
	return s.TLSRequestClientCert || s.MTLSListen != "" || len(s.ClientCertFrom) > 0
}

func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isIssuer(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(text, "?#") || u.EscapedPath() != u.Path {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
