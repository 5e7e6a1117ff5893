package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// canonical returns a key set in the one form in which it is stored and compared: without space, with the members in order.
func canonical(set json.RawMessage) (json.RawMessage, error) {
	if len(bytes.TrimSpace(set)) == 0 {
		return nil, nil
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(set))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return nil, fault.New(fault.InvalidRequest, "is no JSON").At("jwks")
	}
	if value == nil {
		return nil, nil
	}
	return json.Marshal(value)
}

// checkKeySet returns the keys of a set that can be used, or fault.InvalidRequest if somebody's private key is in it, or a certificate that is not its key's.
func checkKeySet(set json.RawMessage) (keys []*jose.Key, why []error, err error) {
	const field = "jwks"
	keys, why, err = jose.ParseKeySet(set)
	if err != nil {
		return nil, nil, fault.Wrap(fault.InvalidRequest, `must be a JWK set (RFC 7517 §5), such as {"keys":[…]}`, err).At(field)
	}
	var members struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &members); err != nil {
		return nil, nil, fault.Wrap(fault.InvalidRequest, "must be a JWK set (RFC 7517 §5)", err).At(field)
	}
	for _, key := range members.Keys {
		if private(key) {
			return nil, nil, errLeaked()
		}
		if !certifies(key) {
			return nil, nil, fault.New(fault.InvalidRequest, "the first certificate of x5c is not one of its key (RFC 7517 §4.7)").At(field)
		}
	}
	return keys, why, nil
}

// checkIssuerKeys makes sure that the keys which are given with an issuer can be used, if there are any: of a trust domain those for
// JWT-SVIDs, or the certificates of its authorities.
func checkIssuerKeys(i *auth.TrustedIssuer) error {
	if len(i.JWKS) == 0 {
		return nil
	}
	if i.Kind == auth.OIDCIssuer {
		keys, why, err := checkKeySet(i.JWKS)
		if err == nil && !slices.ContainsFunc(keys, func(k *jose.Key) bool {
			return slices.ContainsFunc(i.Algorithms, func(a string) bool { return k.Allows(jose.Algorithm(a)) })
		}) {
			err = fault.Wrap(fault.InvalidRequest, "holds no key that can be used for "+strings.Join(i.Algorithms, ", "), errors.Join(why...)).At("jwks")
		}
		return err
	}
	var bundle struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(i.JWKS, &bundle); err != nil {
		return fault.Wrap(fault.InvalidRequest, "must be a trust bundle of SPIFFE", err).At("jwks")
	}
	authority := false
	for _, key := range bundle.Keys {
		if private(key) {
			return errLeaked()
		}
		var member struct {
			Use   string   `json:"use"`
			Chain []string `json:"x5c"`
		}
		authority = authority || json.Unmarshal(key, &member) == nil && member.Use == "x509-svid" && len(member.Chain) > 0 && certifies(key)
	}
	if authority {
		return nil
	}
	if err := remotekeys.CheckBundle(string(i.JWKS)); err != nil {
		return fault.From(err).At("jwks")
	}
	return nil
}

func errLeaked() error {
	return fault.New(fault.InvalidRequest, "holds a private or secret key, which has leaked by being sent here: make a new one, and send its public half").At("jwks")
}

// private reports whether a JWK has members that only the owner of a key may know (RFC 7518 §6).
func private(jwk json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(jwk, &members) != nil {
		return false
	}
	for name := range members {
		if jose.PrivateMember(name) {
			return true
		}
	}
	return false
}

// certifies reports whether a JWK has no certificates, or such as are its own.
func certifies(jwk json.RawMessage) bool {
	var chain struct {
		Certificates []string `json:"x5c"`
	}
	if json.Unmarshal(jwk, &chain) != nil {
		return false
	}
	if len(chain.Certificates) == 0 {
		return true
	}
	der, err := base64.StdEncoding.DecodeString(chain.Certificates[0])
	if err != nil {
		return false
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	certified, err := jose.FromPublic(certificate.PublicKey)
	if err != nil {
		return false
	}
	key, err := jose.ParseKey(jwk)
	return err != nil || key.Thumbprint() == certified.Thumbprint() // a key that cannot be used is passed over
}

// checkKeys makes sure that a client can authenticate by its key set, if it has one.
func checkKeys(c *auth.Client) error {
	if len(c.Proofs.JWKS) == 0 {
		return nil
	}
	keys, why, err := checkKeySet(c.Proofs.JWKS)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k *jose.Key) bool { return usable(k, c) }) {
		detail := "holds no key that can be used; allowed are public keys for ES256, RS256, PS256 and EdDSA"
		if c.Proofs.SigningAlg != "" {
			detail = "holds no key that can be used for " + string(c.Proofs.SigningAlg)
		}
		if len(why) > 0 {
			detail += ": " + why[0].Error()
		}
		return fault.New(fault.InvalidRequest, detail).At("jwks")
	}
	return nil
}

// usable reports whether the client can authenticate by the key. A certificate may be of any key that can be read.
func usable(k *jose.Key, c *auth.Client) bool {
	if c.AuthMethod == auth.SelfSignedTLS {
		return true
	}
	return slices.ContainsFunc(auth.Algorithms(), func(a auth.Algorithm) bool {
		return (c.Proofs.SigningAlg == "" || c.Proofs.SigningAlg == a) && k.Allows(jose.Algorithm(a))
	})
}

// Thumbprints returns what tells the keys of a set apart (RFC 7638), of those that can be used, in order of the set.
func Thumbprints(set json.RawMessage) (all []string) {
	if len(set) == 0 {
		return nil
	}
	keys, _, err := jose.ParseKeySet(set)
	if err != nil {
		return nil
	}
	for _, k := range keys {
		all = append(all, k.Thumbprint())
	}
	return all
}

// checkURL returns fault.InvalidRequest for an address from which no keys are fetched. It may ask a resolver, and so is for before a transaction.
func (r *Registry) checkURL(ctx context.Context, rawURL, field string) error {
	if rawURL == "" {
		return nil
	}
	if r.CheckURL == nil {
		if u, err := url.Parse(rawURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return fault.New(fault.InvalidRequest, "must be a URL of https").At(field)
		}
		return nil
	}
	err := r.CheckURL(ctx, rawURL)
	if found := fault.From(err); found != nil && found.Code == fault.InvalidRequest {
		return found.At(field)
	}
	return err
}
