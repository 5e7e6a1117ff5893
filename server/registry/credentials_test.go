package registry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

const (
	publicMembers = `"kty":"EC","crv":"P-256","x":"YLl19cP2w7CRqP3zX9hEukKKFZSkCFRJZXNBzDYT9vw","y":"khJHaH0_HyrO2QOso92-7Iu33fJolhoh_EjZwYHeQbc"`
	publicKey     = `{"keys":[{` + publicMembers + `}]}`
)

// keyed is a client that authenticates by a key.
func keyed(c *auth.Client) {
	c.AuthMethod, c.Proofs = auth.PrivateKeyJWT, auth.Proofs{JWKS: json.RawMessage(publicKey)}
}

func certificate(t *testing.T) (key *ecdsa.PrivateKey, der string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, base64.StdEncoding.EncodeToString(raw)
}

func TestKeySetsOfClients(t *testing.T) {
	d := newDesk(t)
	key, der := certificate(t)
	jwk, err := jose.PublicJWK(key.Public())
	d.must(err)
	certified := strings.TrimSuffix(string(jwk), "}") + `,"x5c":["` + der + `"]`
	for name, tt := range map[string]struct {
		set    string
		method auth.Method
		alg    auth.Algorithm
		want   string // in the detail; empty: it is taken
	}{
		"one key":                {set: publicKey},
		"members unknown":        {set: `{"keys":[{` + publicMembers + `,"x":1}],"more":true}`, want: "no key that can be used"},
		"set with more members":  {set: `{"more":true,"keys":[{` + publicMembers + `}]}`},
		"its algorithm":          {set: publicKey, alg: auth.ES256},
		"another algorithm":      {set: publicKey, alg: auth.RS256, want: "no key that can be used for RS256"},
		"of two one can be used": {set: `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{` + publicMembers + `}]}`},
		"private":                {set: `{"keys":[{` + publicMembers + `,"d":"uYk5"}]}`, want: "has leaked"},
		"private beside public":  {set: `{"keys":[{` + publicMembers + `},{"kty":"RSA","n":"AQAB","e":"AQAB","p":"AQAB"}]}`, want: "has leaked"},
		"a shared secret":        {set: `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, want: "has leaked"},
		"for encryption":         {set: `{"keys":[{` + publicMembers + `,"use":"enc"}]}`, want: "no key that can be used"},
		"for another curve":      {set: `{"keys":[{` + publicMembers + `,"alg":"ES512"}]}`, want: "no key that can be used"},
		"two under one kid":      {set: `{"keys":[{` + publicMembers + `,"kid":"a"},` + strings.TrimSuffix(string(jwk), "}") + `,"kid":"a"}]}`, want: "no key that can be used"},
		"empty":                  {set: `{"keys":[]}`, want: "no key that can be used"},
		"a key and no set":       {set: `{` + publicMembers + `}`, want: "JWK set"},
		"twice the same member":  {set: `{"keys":[],"keys":[]}`, want: "no key"},
		"no JSON":                {set: `keys`, want: "no JSON"},
		"nothing":                {set: `null`, want: "needs the client's keys"},
		"self-signed":            {set: `{"keys":[` + certified + `}]}`, method: auth.SelfSignedTLS},
		"self-signed, P-521":     {set: publicKey, method: auth.SelfSignedTLS},
		"certificate of another": {set: `{"keys":[{` + publicMembers + `,"x5c":["` + der + `"]}]}`, method: auth.SelfSignedTLS, want: "x5c"},
		"certificate that is none": {
			set: `{"keys":[{` + publicMembers + `,"x5c":["AAAA"]}]}`, method: auth.SelfSignedTLS, want: "x5c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := auth.Client{Name: name, AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: json.RawMessage(tt.set), SigningAlg: tt.alg}}
			if tt.method != "" {
				c.AuthMethod = tt.method
			}
			_, err := d.CreateClient(t.Context(), officer("clients:write secrets:write"), c)
			switch found := fault.From(err); {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (found == nil || found.Code != fault.InvalidRequest || found.Field != "jwks" || !strings.Contains(found.Detail, tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "uYk5") {
				t.Error("the error holds a private key")
			}
		})
	}
}

// One change takes a client from one method to another, and says in the audit log what it was and is.
func TestMethodChanges(t *testing.T) {
	d := newDesk(t)
	actor := officer(adminScopes().String())
	c, api := d.client("orders"), d.api("https://stock.example/")
	d.grant(c, api, "read")
	d.token(c, api)
	issuer := d.issuer("cluster", "https://cluster.example")
	for _, step := range []struct {
		name   string
		edit   func(*auth.Client)
		action string
		says   []string
	}{
		{"to a key", keyed, "client.credentials", []string{`"jwks_thumbprints":["`, `"token_endpoint_auth_method":"private_key_jwt"`}},
		{"to the same key, written in another way", func(c *auth.Client) {
			c.Proofs.JWKS = json.RawMessage(strings.ReplaceAll(publicKey, ",", " , "))
		}, "client.credentials", nil},
		{"to an address", func(c *auth.Client) {
			c.Proofs = auth.Proofs{JWKSURI: "https://keys.example/jwks"}
		}, "client.credentials", []string{`"jwks_uri":"https://keys.example/jwks"`}},
		{"to a certificate", func(c *auth.Client) {
			c.AuthMethod, c.Proofs = auth.TLSClientAuth, auth.Proofs{Certificate: &auth.CertificateName{Field: auth.SANDNS, Value: "orders.example"}}
		}, "client.credentials", []string{`"tls_client_auth_san_dns":"orders.example"`}},
		{"to rules", func(c *auth.Client) {
			c.AuthMethod, c.Proofs = auth.FederatedJWT, auth.Proofs{Federation: []auth.FederationRule{
				{Issuer: issuer.ID, Claims: []auth.ClaimMatch{{Path: []string{"sub"}, Equals: "orders"}}},
			}}
		}, "client.credentials", []string{`"federation":[{"issuer":"` + issuer.ID.String()}},
		{"to bound tokens", func(c *auth.Client) { c.Proofs.DPoPBound = true }, "client.update", []string{`"dpop_bound_access_tokens":true`}},
		{"to secrets", func(c *auth.Client) { c.AuthMethod, c.Proofs = auth.SecretPost, auth.Proofs{} }, "client.credentials", nil},
		{"to secrets in another way", func(c *auth.Client) { c.AuthMethod = auth.SecretBasic }, "client.update", nil},
	} {
		made := d.changes(func() {
			if _, err := d.UpdateClient(t.Context(), actor, c.ID, registry.ClientEdit{Change: rename(step.edit)}); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		})
		last, _ := d.last()
		if step.says == nil && step.name == "to the same key, written in another way" {
			if len(made) != 0 {
				t.Errorf("%s: %v", step.name, made)
			}
			continue
		}
		if len(made) != 1 || made[0].Kind != auth.ClientChanged || last.Action != step.action {
			t.Errorf("%s: %s, %v", step.name, last.Action, made)
		}
		for _, text := range step.says {
			if _, after, _ := strings.Cut(last.Changes, `"after":`); !strings.Contains(after[:strings.LastIndex(after, `"before":`)], text) {
				t.Errorf("%s: the audit log does not say %s: %s", step.name, text, last.Changes)
			}
		}
		if strings.Contains(last.Changes, "khJHaH0_HyrO2QOso92") {
			t.Errorf("%s: the audit log has the key", step.name)
		}
	}
	made := d.changes(func() {
		done, err := d.UpdateClient(t.Context(), actor, c.ID, registry.ClientEdit{Change: rename(keyed), RevokeTokens: true})
		if err != nil || done.Revoked != (registry.Hit{Tokens: 1, Exact: true}) {
			t.Errorf("%+v, %v", done, err)
		}
	})
	if len(made) != 2 || made[1].Kind != auth.RevokeClient || made[1].Subject != [16]byte(c.ID) {
		t.Error(made)
	}
	if _, after := d.last(); after["revoked_tokens"] != 1.0 {
		t.Error(after)
	}
}

// Who authenticates by something else has no use for a secret, and gets none.
func TestNoSecretsBesideKeys(t *testing.T) {
	d := newDesk(t)
	actor, c := officer(adminScopes().String()), d.client("orders", keyed)
	for name, err := range map[string]error{
		"add":    second(d.AddSecret(t.Context(), actor, c.ID, registry.NewSecretRequest{})),
		"rotate": second(d.RotateSecret(t.Context(), actor, c.ID, registry.Rotation{})),
	} {
		if found := fault.From(err); found == nil || found.Code != fault.Conflict || !strings.Contains(found.Detail, "private_key_jwt") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRulesOfClients(t *testing.T) {
	d := newDesk(t)
	oidc := d.issuer("cluster", "https://cluster.example")
	spiffe := d.issuer("mesh", "spiffe://mesh.example", func(i *auth.TrustedIssuer) {
		i.Kind, i.JWKS = auth.SPIFFEIssuer, json.RawMessage(publicKey)
	})
	claim := func(path, equals, prefix string) auth.ClaimMatch {
		return auth.ClaimMatch{Path: strings.Split(path, "/"), Equals: equals, Prefix: prefix}
	}
	for name, tt := range map[string]struct {
		method auth.Method
		issuer auth.TrustedIssuerID
		claims []auth.ClaimMatch
		want   string
	}{
		"of an OIDC issuer":           {auth.FederatedJWT, oidc.ID, []auth.ClaimMatch{claim("kubernetes.io/namespace", "orders", "")}, ""},
		"of nobody":                   {auth.FederatedJWT, auth.NewTrustedIssuerID(time.Now()), []auth.ClaimMatch{claim("sub", "x", "")}, "there is no trusted issuer"},
		"of a trust domain":           {auth.SPIFFEJWT, spiffe.ID, []auth.ClaimMatch{claim("sub", "spiffe://mesh.example/orders", ""), claim("x", "y", "")}, ""},
		"by prefix":                   {auth.SPIFFEX509, spiffe.ID, []auth.ClaimMatch{claim("sub", "", "spiffe://mesh.example/ns/orders/")}, ""},
		"by a prefix within a name":   {auth.FederatedJWT, oidc.ID, []auth.ClaimMatch{claim("sub", "", "system:serviceaccount:shop")}, "ends in a mark"},
		"of another trust domain":     {auth.SPIFFEX509, spiffe.ID, []auth.ClaimMatch{claim("sub", "", "spiffe://mesh.example.evil/")}, "trust domain"},
		"of all trust domains":        {auth.SPIFFEJWT, spiffe.ID, []auth.ClaimMatch{claim("sub", "", "spiffe://")}, "trust domain"},
		"without sub":                 {auth.SPIFFEJWT, spiffe.ID, []auth.ClaimMatch{claim("x", "y", "")}, "has a claim sub"},
		"a certificate's other claim": {auth.SPIFFEX509, spiffe.ID, []auth.ClaimMatch{claim("sub", "spiffe://mesh.example/a", ""), claim("x", "y", "")}, "no claim but sub"},
		"of the wrong kind":           {auth.SPIFFEJWT, oidc.ID, []auth.ClaimMatch{claim("sub", "x", "")}, "kind spiffe"},
		"of the other wrong kind":     {auth.FederatedJWT, spiffe.ID, []auth.ClaimMatch{claim("sub", "x", "")}, "kind oidc"},
	} {
		_, err := d.CreateClient(t.Context(), officer("clients:write secrets:write"), auth.Client{
			Name: name, AuthMethod: tt.method, Proofs: auth.Proofs{Federation: []auth.FederationRule{{Issuer: tt.issuer, Claims: tt.claims}}},
		})
		switch found := fault.From(err); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (found == nil || found.Field != "federation" || !strings.Contains(found.Detail, tt.want)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where keys are fetched from is looked at when it is set, and not again, and never within a transaction.
func TestAddressesAreLookedAt(t *testing.T) {
	d := newDesk(t)
	actor := officer(adminScopes().String())
	var looked []string
	d.CheckURL = func(ctx context.Context, rawURL string) error {
		looked = append(looked, rawURL)
		d.must(d.store.Update(ctx, func(auth.Tx) error { return nil })) // waits for ever if a transaction is open
		if strings.Contains(rawURL, "10.0.0.1") {
			return fault.New(fault.InvalidRequest, "must have a host on the internet")
		}
		return nil
	}
	at := func(uri string) func(*auth.Client) {
		return func(c *auth.Client) { c.AuthMethod, c.Proofs = auth.PrivateKeyJWT, auth.Proofs{JWKSURI: uri} }
	}
	c := auth.Client{Name: "orders"}
	at("https://keys.example/1")(&c)
	made, err := d.CreateClient(t.Context(), actor, c)
	d.must(err)
	d.must(second(d.UpdateClient(t.Context(), actor, made.ID, registry.ClientEdit{Change: rename(at("https://keys.example/2"))})))
	d.must(second(d.UpdateClient(t.Context(), actor, made.ID, registry.ClientEdit{Change: rename(func(c *auth.Client) { c.Owner = "us" })})))
	c.ID = made.ID
	d.must(third(d.PutClient(t.Context(), actor, c, registry.Exists)))
	if want := []string{"https://keys.example/1", "https://keys.example/2", "https://keys.example/1"}; !slices.Equal(looked, want) {
		t.Errorf("looked at %q, want %q", looked, want)
	}
	refused := auth.Client{Name: "refused"}
	at("https://10.0.0.1/")(&refused)
	for name, err := range map[string]error{
		"create": second(d.CreateClient(t.Context(), actor, refused)),
		"update": second(d.UpdateClient(t.Context(), actor, made.ID, registry.ClientEdit{Change: rename(at("https://10.0.0.1/"))})),
	} {
		if found := fault.From(err); found == nil || found.Code != fault.InvalidRequest || found.Field != "jwks_uri" {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.CheckURL = nil
	for uri, ok := range map[string]bool{"https://keys.example": true, "http://keys.example": false, "https://": false, "https://a:b@keys.example": false} {
		n := auth.Client{Name: uri}
		at(uri)(&n)
		if _, err := d.CreateClient(t.Context(), actor, n); (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// A full administrator that authenticates by keys counts, and cannot become one that nobody can be.
func TestLastAdminByKeys(t *testing.T) {
	d := newDesk(t)
	c := d.client("root", keyed)
	issuer := d.issuer("cluster", "https://cluster.example")
	d.view(func(tx auth.Tx) error {
		a, err := tx.APIs().APIByIdentifier(t.Context(), auth.AdminAPI)
		if err == nil {
			defer d.grant(c, a, adminScopes()...)
		}
		return err
	})
	actor := officer(adminScopes().String())
	edit := func(edit func(*auth.Client)) error {
		return second(d.UpdateClient(t.Context(), actor, c.ID, registry.ClientEdit{Change: rename(edit)}))
	}
	rules := func(id auth.TrustedIssuerID) func(*auth.Client) {
		return func(c *auth.Client) {
			c.AuthMethod = auth.FederatedJWT
			c.Proofs = auth.Proofs{Federation: []auth.FederationRule{{Issuer: id, Claims: []auth.ClaimMatch{{Path: []string{"sub"}, Equals: "root"}}}}}
		}
	}
	disabled := d.issuer("old cluster", "https://old.example", func(i *auth.TrustedIssuer) { i.Status = auth.Disabled })
	for name, err := range map[string]error{
		"disabled":                  second(d.SetClientStatus(t.Context(), actor, c.ID, auth.Disabled)),
		"to a secret that it lacks": edit(func(c *auth.Client) { c.AuthMethod, c.Proofs = auth.SecretBasic, auth.Proofs{} }),
		"to an issuer that is none": edit(rules(disabled.ID)),
	} {
		if found := fault.From(err); found == nil || found.Code != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.must(edit(rules(issuer.ID)))
	d.must(edit(keyed))
	recovered, err := d.RecoverAdmin(t.Context(), auth.Actor{Name: "system"}, "root")
	d.must(err)
	if recovered.Client.AuthMethod != auth.SecretBasic || len(recovered.Client.Proofs.JWKS) > 0 {
		t.Error(fmt.Sprintf("%+v", recovered.Client.Proofs), "and a secret")
	}
}
