package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

// methods are the ways in which clients authenticate (RFC 7591 §2), with the members that belong to each.
func methods() map[string][]string {
	keys := []string{"jwks", "jwks_uri"}
	rules := []string{"federation"}
	return map[string][]string{
		basic: nil, post: nil,
		"private_key_jwt":             append([]string{"token_endpoint_auth_signing_alg"}, keys...),
		"self_signed_tls_client_auth": keys,
		"tls_client_auth":             slices.Sorted(maps.Values(certificateMembers())),
		"federated_jwt":               rules,
		"spiffe_jwt":                  rules,
		"spiffe_x509":                 rules,
	}
}

func methodNames() []string {
	return []string{
		basic, post, "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "federated_jwt", "spiffe_jwt", "spiffe_x509",
	}
}

// certificateMembers are the members that name a certificate, by their flags.
func certificateMembers() map[string]string {
	return map[string]string{
		"tls-subject-dn": "tls_client_auth_subject_dn", "tls-san-dns": "tls_client_auth_san_dns", "tls-san-uri": "tls_client_auth_san_uri",
		"tls-san-ip": "tls_client_auth_san_ip", "tls-san-email": "tls_client_auth_san_email",
	}
}

// proofFlags are what a client authenticates by as flags.
type proofFlags struct {
	keys, uri, algorithm string
	certificate          map[string]*string // by flag
	rule                 ruleFlags
	dpop, bound          bool
}

func (f *proofFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.keys, "jwks-file", "", "`file` with its public keys: a JWK set, a JWK, or PEM with public keys or certificates")
	flags.StringVar(&f.uri, "jwks-uri", "", "`URL` (https) where its public keys are to be had")
	choiceFlag(cmd, &f.algorithm, "signing-alg", "the only `algorithm` of its assertions: ES256, RS256, PS256 or EdDSA", algorithms()...)
	f.certificate = map[string]*string{}
	for flag, about := range map[string]string{
		"tls-subject-dn": "`name` of the subject of its certificate, such as CN=orders,O=Example (RFC 4514)", "tls-san-dns": "DNS `name` in its certificate",
		"tls-san-uri": "`URI` in its certificate", "tls-san-ip": "IP `address` in its certificate", "tls-san-email": "mail `address` in its certificate",
	} {
		f.certificate[flag] = flags.String(flag, "", about)
	}
	f.rule.bind(cmd)
	flags.BoolVar(&f.dpop, "dpop-bound", false, "give it only tokens that are bound to a DPoP key")
	flags.BoolVar(&f.bound, "certificate-bound", false, "give it only tokens that are bound to its certificate")
}

// names are the names of the flags.
func (f *proofFlags) names() []string {
	return slices.Concat([]string{"jwks-file", "jwks-uri", "signing-alg", "dpop-bound", "certificate-bound"}, f.rule.names(), slices.Sorted(maps.Keys(certificateMembers())))
}

// members returns what the flags that are given set. An empty value is null.
func (f *proofFlags) members(cmd *cobra.Command) (map[string]any, error) {
	set := map[string]any{}
	text := func(flag, member, value string) {
		if given(cmd, flag) {
			if set[member] = any(value); value == "" {
				set[member] = nil
			}
		}
	}
	text("jwks-uri", "jwks_uri", f.uri)
	text("signing-alg", "token_endpoint_auth_signing_alg", f.algorithm)
	for flag, member := range certificateMembers() {
		text(flag, member, *f.certificate[flag])
	}
	if given(cmd, "jwks-file") {
		if err := setKeys(set, f.keys); err != nil {
			return nil, err
		}
	}
	if given(cmd, f.rule.names()...) {
		rule, err := f.rule.rule()
		if err != nil {
			return nil, err
		}
		set["federation"] = []wire.FederationRule{rule}
	}
	if given(cmd, "dpop-bound") {
		set["dpop_bound_access_tokens"] = f.dpop
	}
	if given(cmd, "certificate-bound") {
		set["tls_client_certificate_bound_access_tokens"] = f.bound
	}
	return set, nil
}

// instead adds null for what goes when the members are set: the keys where others come in their place, and with another method what
// belongs to others.
func instead(members map[string]any, method string) {
	clear := func(names ...string) {
		for _, name := range names {
			if _, set := members[name]; !set {
				members[name] = nil
			}
		}
	}
	if members["jwks"] != nil {
		clear("jwks_uri")
	}
	if members["jwks_uri"] != nil {
		clear("jwks")
	}
	for _, member := range certificateMembers() {
		if members[member] != nil {
			clear(slices.Collect(maps.Values(certificateMembers()))...)
		}
	}
	if method == "" {
		return
	}
	for other, names := range methods() {
		if other != method {
			clear(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(methods()[method], name) })...)
		}
	}
}

// ruleFlags are a rule of a trusted issuer as flags.
type ruleFlags struct {
	issuer         string
	claims, begins []string
}

func (f *ruleFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "trusted-issuer", "", "`name` of the trusted issuer whose tokens it authenticates by")
	flags.StringArrayVar(&f.claims, "claim", nil, "a claim that its tokens have, as `CLAIM=VALUE`; may be repeated: all have to match")
	flags.StringArrayVar(&f.begins, "claim-prefix", nil, "likewise `CLAIM=BEGINNING` of a value")
}

func (f *ruleFlags) names() []string { return []string{"trusted-issuer", "claim", "claim-prefix"} }

func (f *ruleFlags) rule() (rule wire.FederationRule, err error) {
	if rule.Issuer = f.issuer; f.issuer == "" || len(f.claims)+len(f.begins) == 0 {
		return rule, usagef("a rule has --trusted-issuer and at least one --claim or --claim-prefix")
	}
	for _, text := range f.claims {
		claim, value, err := claimOf("claim", text)
		if err != nil {
			return rule, err
		}
		rule.Claims = append(rule.Claims, wire.ClaimMatch{Path: claim, Equals: value})
	}
	for _, text := range f.begins {
		claim, value, err := claimOf("claim-prefix", text)
		if err != nil {
			return rule, err
		}
		rule.Claims = append(rule.Claims, wire.ClaimMatch{Path: claim, Prefix: value})
	}
	return rule, nil
}

// claimOf reads CLAIM=VALUE. A claim within another is written as a JSON pointer (RFC 6901): /kubernetes.io/namespace.
func claimOf(flag, text string) (path []string, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return nil, "", usagef("--%s is %q: allowed is CLAIM=VALUE, where a claim within another is written as /OUTER/INNER", flag, text)
	}
	within, is := strings.CutPrefix(name, "/")
	if !is {
		return []string{name}, value, nil
	}
	for part := range strings.SplitSeq(within, "/") {
		path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return path, value, nil
}

// claimText is what claimOf reads.
func claimText(m wire.ClaimMatch) string {
	name := m.Path[0]
	if len(m.Path) > 1 || strings.HasPrefix(name, "/") {
		name = ""
		for _, part := range m.Path {
			name += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
		}
	}
	if m.Prefix != "" {
		return name + "=" + m.Prefix + "…"
	}
	return name + "=" + m.Equals
}

// proofRows tell what a client authenticates by.
func proofRows(c wire.Client) (rows []row) {
	for _, thumbprint := range c.Thumbprints {
		rows = append(rows, row{"key", thumbprint})
	}
	rows = append(rows, row{"keys at", c.JWKSURI}, row{"signing algorithm", c.SigningAlg})
	for _, name := range []row{
		{"subject", c.SubjectDN}, {"DNS name", c.SANDNS}, {"URI", c.SANURI}, {"IP address", c.SANIP}, {"mail address", c.SANEmail},
	} {
		if name.value != "" {
			rows = append(rows, row{"certificate", name.name + " " + name.value})
		}
	}
	for i, rule := range c.Federation {
		claims := make([]string, len(rule.Claims))
		for j, claim := range rule.Claims {
			claims[j] = claimText(claim)
		}
		rows = append(rows, row{fmt.Sprintf("rule %d", i+1), rule.Issuer + " " + strings.Join(claims, " ")})
	}
	var bound []string
	if c.DPoPBound {
		bound = append(bound, "DPoP key")
	}
	if c.CertificateBound {
		bound = append(bound, "certificate")
	}
	return append(rows, row{"tokens bound to", strings.Join(bound, " and ")})
}
