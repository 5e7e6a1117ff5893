package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
)

// registerCertificates makes the clients that have certificates, which OpenSSL makes.
func (w *strong) registerCertificates(t *testing.T) {
	t.Helper()
	w.byCertificate = map[auth.CertificateField]certified{}
	for field, is := range map[auth.CertificateField]struct{ value, subject, alternative string }{
		auth.SubjectDN: {"CN=orders+UID=7,OU=Billing\\, Berlin,O=Example", "/O=Example/OU=Billing, Berlin/CN=orders+UID=7", "DNS:other.test"},
		auth.SANDNS:    {"orders.example.test", "/CN=a", "DNS:other.test,DNS:orders.example.test"},
		auth.SANURI:    {"spiffe://example.test/orders", "/CN=b", "URI:spiffe://example.test/orders"},
		auth.SANIP:     {"192.0.2.7", "/CN=c", "IP:192.0.2.7"},
		auth.SANEmail:  {"orders@example.test", "/CN=d", "email:orders@example.test"},
	} {
		id := w.register(t, string(field), auth.TLSClientAuth, auth.Proofs{Certificate: &auth.CertificateName{Field: field, Value: is.value}})
		w.byCertificate[field] = certified{id, w.ca.Issue(t, string(field), is.subject, "subjectAltName="+is.alternative+"\n"+forClients, "1")}
	}
	for name, into := range map[string]*certified{"x5c": &w.bySelf, "bare key": &w.byBareKey} {
		own := selfSigned(t, "self")
		private, err := os.ReadFile(own.Key)
		if err != nil {
			t.Fatal(err)
		}
		set := keySet(t, private)
		if name == "x5c" {
			set = keySet(t, private, base64.StdEncoding.EncodeToString(own.DER(t)))
		}
		*into = certified{w.register(t, "self-signed, "+name, auth.SelfSignedTLS, auth.Proofs{JWKS: set}), own}
	}
	w.bound = w.Client(t, "bound", []string{jwtAPI, opaqueAPI}, nil)
	w.boundOperator = w.Client(t, "bound operator", []string{auth.ServerAPI}, nil)
	for _, c := range []credential{w.bound, w.boundOperator} {
		w.changeProofs(t, c, func(p *auth.Proofs) { p.CertificateBound = true })
	}
}

func named(id string) url.Values { return url.Values{"client_id": {id}} }

// certificates is A44 to A49 on TLS connections.
func (w *strong) certificates(t *testing.T) {
	dns := w.byCertificate[auth.SANDNS]
	for field, c := range w.byCertificate {
		t.Run("A44 "+string(field), func(t *testing.T) {
			by := w.showing(t, c.certificate)
			w.expect(t, w.send(t, shot{to: w.mtls, by: by, form: named(c.ID)}), http.StatusOK, "")
			for path, form := range authenticated("x") {
				if got := w.send(t, shot{to: w.mtls, path: path, by: by, form: with(form, "client_id", c.ID)}); got.Status != http.StatusOK {
					t.Errorf("%s: %d %s", path, got.Status, got.Body)
				}
			}
		})
	}
	for name, c := range map[string]certified{"x5c": w.bySelf, "bare key": w.byBareKey} {
		t.Run("A44 self-signed, "+name, func(t *testing.T) {
			w.expect(t, w.send(t, shot{to: w.mtls, by: w.showing(t, c.certificate), form: named(c.ID)}), http.StatusOK, "")
		})
	}
	const its = "subjectAltName=DNS:orders.example.test\n"
	for name, c := range map[string]certified{
		"A45 another client's":        {dns.ID, w.byCertificate[auth.SANURI].certificate},
		"A45 a wildcard":              {dns.ID, w.ca.Issue(t, "wildcard", "/CN=w", "subjectAltName=DNS:*.example.test\n"+forClients, "1")},
		"A45 another authority":       {dns.ID, newOpensslCA(t, "clients").Issue(t, "other", "/CN=a", its+forClients, "1")},
		"A45 for servers":             {dns.ID, w.ca.Issue(t, "servers", "/CN=a", its+"extendedKeyUsage=serverAuth\n", "1")},
		"A45 another name":            {w.byCertificate[auth.SubjectDN].ID, w.ca.Issue(t, "dn", "/O=Example/OU=Billing, Berlin/CN=orders", "subjectAltName=DNS:x\n"+forClients, "1")},
		"A45 name in another order":   {w.byCertificate[auth.SubjectDN].ID, w.ca.Issue(t, "order", "/CN=orders+UID=7/OU=Billing, Berlin/O=Example", "subjectAltName=DNS:x\n"+forClients, "1")},
		"A45 a client with secrets":   {w.Caller.ID, dns.certificate},
		"A45 nobody":                  {"cl_x", dns.certificate},
		"A46":                         {dns.ID, w.ca.Issue(t, "expired", "/CN=a", its+forClients, "-1")},
		"A49":                         {w.bySelf.ID, selfSigned(t, "self")},
		"A49 bare key":                {w.byBareKey.ID, selfSigned(t, "self")},
		"A49 for one of an authority": {dns.ID, selfSigned(t, "orders.example.test")},
	} {
		t.Run(name, func(t *testing.T) {
			by := w.showing(t, c.certificate)
			for path, form := range authenticated("x") {
				w.refused(t, w.send(t, shot{to: w.mtls, path: path, by: by, form: with(form, "client_id", c.ID)}))
			}
		})
	}
	t.Run("A47", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.mtls, by: w.showing(t, dns.certificate)}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("the first address asks for no certificate", func(t *testing.T) {
		w.same(t, w.send(t, shot{to: w.one.URL, by: w.showing(t, dns.certificate), form: named(dns.ID)}), w.send(t, shot{to: w.one.URL}))
	})
}

// forwarding are the headers of a proxy about its client's certificate and what is between it and the authority.
func forwarding(t *testing.T, first certificate, between ...certificate) http.Header {
	t.Helper()
	encode := func(c certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.DER(t)) + ":" }
	header := http.Header{"Client-Cert": {encode(first)}}
	for _, c := range between {
		header.Add("Client-Cert-Chain", encode(c))
	}
	return header
}

// forwardedCertificates is A48 and attack 31.
func (w *strong) forwardedCertificates(t *testing.T) {
	dns := w.byCertificate[auth.SANDNS]
	stolen := forwarding(t, dns.certificate)
	t.Run("A48 from outside", func(t *testing.T) {
		for path, form := range authenticated("x") {
			nobody := w.send(t, shot{to: w.one.URL, path: path, form: form})
			if nobody.Status != http.StatusUnauthorized || nobody.Text("error") != "invalid_client" { // A04
				t.Errorf("%d %s", nobody.Status, nobody.Body)
			}
			for _, to := range []string{w.one.URL, w.mtls} {
				for _, header := range []http.Header{stolen, {"X-Client-Cert": stolen["Client-Cert"], "X-Forwarded-Client-Cert": {`Subject="CN=a"`}, "X-Ssl-Client-Cert": {"x"}}} {
					w.same(t, w.send(t, shot{to: to, path: path, form: with(form, "client_id", dns.ID), header: header}), nobody)
				}
			}
		}
		// Whose connection has a certificate is not somebody else by a header.
		w.refused(t, w.send(t, shot{to: w.mtls, by: w.showing(t, w.bySelf.certificate), form: named(dns.ID), header: stolen}))
		got := w.send(t, shot{to: w.mtls, by: w.showing(t, w.bySelf.certificate), form: named(w.bySelf.ID), header: stolen})
		w.expect(t, got, http.StatusOK, "")
	})
	t.Run("A48 by a proxy", func(t *testing.T) {
		for path, form := range authenticated("x") {
			got := w.send(t, shot{to: w.other.URL, path: path, form: with(form, "client_id", dns.ID), header: stolen})
			if got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", path, got.Status, got.Body)
			}
			w.refused(t, w.send(t, shot{to: w.other.URL, path: path, form: with(form, "client_id", w.bySelf.ID), header: stolen}))
		}
		between := w.ca.Issue(t, "between", "/CN=between", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", "1")
		issuer := &opensslCA{folder: t.TempDir(), File: between.File}
		key, err := os.ReadFile(between.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(issuer.folder+"/ca.key", key, 0o600); err != nil {
			t.Fatal(err)
		}
		leaf := issuer.Issue(t, "leaf", "/CN=leaf", "subjectAltName=DNS:orders.example.test\n"+forClients, "1")
		w.expect(t, w.send(t, shot{to: w.other.URL, form: named(dns.ID), header: forwarding(t, leaf, between)}), http.StatusOK, "")
		w.refused(t, w.send(t, shot{to: w.other.URL, form: named(dns.ID), header: forwarding(t, leaf)}))
	})
	t.Run("A48 malformed", func(t *testing.T) {
		for _, values := range [][]string{{"x"}, {":AAAA:"}, {""}, append(stolen["Client-Cert"], stolen["Client-Cert"]...), {stolen.Get("Client-Cert") + ";a=1"}} {
			got := w.send(t, shot{to: w.other.URL, form: named(dns.ID), header: http.Header{"Client-Cert": values}})
			if got.Status != http.StatusBadRequest && got.Status != http.StatusOK || got.Status == http.StatusOK && !strings.Contains(values[0], ";") {
				t.Errorf("%.20q: %d %s", values, got.Status, got.Body)
			}
		}
	})
}

// severalWays is what comes of more than one proof of identity.
func (w *strong) severalWays(t *testing.T) {
	dns := w.byCertificate[auth.SANDNS]
	by := w.showing(t, dns.certificate)
	signed := func() url.Values { return asserted(w.bySet.key.assertion(t, w.bySet.ID, nil, nil)) }
	t.Run("A05 secret and assertion", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.one.URL, form: signed(), header: basic(w.Caller)}), http.StatusBadRequest, "invalid_request")
		form := with(with(signed(), "client_id", w.Caller.ID), "client_secret", w.Caller.Secret)
		w.expect(t, w.send(t, shot{to: w.one.URL, form: form}), http.StatusBadRequest, "invalid_request")
		w.expect(t, w.send(t, shot{to: w.one.URL, form: signed(), header: http.Header{"Authorization": {"Bearer x"}}}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("a certificate beside what authenticates", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.mtls, by: by, form: signed()}), http.StatusOK, "")
		w.expect(t, w.send(t, shot{to: w.mtls, by: by, header: basic(w.Caller)}), http.StatusOK, "")
		w.refused(t, w.send(t, shot{to: w.mtls, by: by, header: basic(credential{dns.ID, w.Caller.Secret})}))
	})
	t.Run("an assertion of a client with a certificate", func(t *testing.T) {
		w.refused(t, w.send(t, shot{to: w.mtls, by: by, form: with(signed(), "client_id", dns.ID)}))
		w.refused(t, w.send(t, shot{to: w.mtls, by: by, form: asserted(w.bySet.key.assertion(t, dns.ID, nil, nil))}))
	})
}

// boundToCertificates is B01 to B04 and I14, by the SDK's verifier and by the server's own endpoints.
func (w *strong) boundToCertificates(t *testing.T) {
	own, others := w.byCertificate[auth.SANDNS].certificate, w.byCertificate[auth.SANURI].certificate
	fingerprint := string(openssl(t, "x509", "-in", own.File, "-noout", "-fingerprint", "-sha256"))
	_, hexadecimal, _ := strings.Cut(strings.TrimSpace(fingerprint), "=")
	sum, err := hex.DecodeString(strings.ReplaceAll(hexadecimal, ":", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, audience := range []string{jwtAPI, opaqueAPI} {
		got := w.send(t, shot{to: w.mtls, by: w.showing(t, own), header: basic(w.bound), form: asking(audience, "read")})
		w.expect(t, got, http.StatusOK, "")
		presented := got.Text("access_token")
		t.Run("I14 B04 "+audience, func(t *testing.T) {
			found := introspect(t, w.other.URL, w.Server, presented)
			cnf, _ := found.JSON["cnf"].(map[string]any)
			if cnf["x5t#S256"] != base64url(sum) || len(cnf) != 1 || found.JSON["token_type"] != "Bearer" || got.Text("token_type") != "Bearer" {
				t.Errorf("got %s", found.Body)
			}
		})
		address := w.service(t, audience)
		for name, tt := range map[string]struct {
			shown  certificate
			status int
		}{"B01": {own, http.StatusOK}, "B02": {others, http.StatusUnauthorized}, "B03": {certificate{}, http.StatusUnauthorized}} {
			t.Run(name+" "+audience, func(t *testing.T) {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Authorization", "Bearer "+presented)
				client := *w.showing(t, tt.shown)
				transport, _ := client.Transport.(*http.Transport)
				trusting := transport.Clone()
				trusting.TLSClientConfig.RootCAs = address.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs //nolint:forcetypeassert // httptest's
				defer trusting.CloseIdleConnections()
				client.Transport = trusting
				got, err := doBy(&client, request)
				if err != nil {
					t.Fatal(err)
				}
				if challenge := got.Header.Get("WWW-Authenticate"); got.Status != tt.status || tt.status != http.StatusOK && !strings.Contains(challenge, `error="invalid_token"`) {
					t.Errorf("%d %q %s", got.Status, challenge, got.Body)
				}
			})
		}
	}
	t.Run("without a certificate there is no token", func(t *testing.T) {
		w.expect(t, w.send(t, shot{to: w.one.URL, header: basic(w.bound)}), http.StatusBadRequest, "invalid_request")
		w.expect(t, w.send(t, shot{to: w.one.URL, header: join(basic(w.bound), forwarding(t, own))}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("B01 B02 B03 at introspection", func(t *testing.T) {
		got := w.send(t, shot{to: w.mtls, by: w.showing(t, own), header: basic(w.boundOperator), form: asking(auth.ServerAPI, "")})
		w.expect(t, got, http.StatusOK, "")
		bearer := http.Header{"Authorization": {"Bearer " + got.Text("access_token")}}
		ask := func(to string, shown certificate, header http.Header) answer {
			return w.send(t, shot{to: to, path: introspectPath, by: w.showing(t, shown), header: header, form: url.Values{"token": {"x"}}})
		}
		for _, good := range []answer{ask(w.mtls, own, bearer), ask(w.other.URL, certificate{}, join(bearer, forwarding(t, own)))} {
			if good.Status != http.StatusOK {
				t.Errorf("%d %s", good.Status, good.Body)
			}
		}
		for _, bad := range []answer{
			ask(w.mtls, others, bearer), ask(w.mtls, certificate{}, bearer), ask(w.one.URL, own, bearer), ask(w.other.URL, certificate{}, bearer),
			ask(w.one.URL, certificate{}, join(bearer, forwarding(t, own))), ask(w.mtls, others, join(bearer, forwarding(t, own))),
		} {
			w.expect(t, bad, http.StatusUnauthorized, "invalid_token")
		}
	})
}

func join(all ...http.Header) http.Header {
	joined := http.Header{}
	for _, header := range all {
		maps.Copy(joined, header)
	}
	return joined
}

// service takes tokens for an audience on TLS connections.
func (w *strong) service(t *testing.T, audience string) *httptest.Server {
	t.Helper()
	verifier := newSDKVerifier(t, sharedIssuer, audience, w.Server, sdk.WithAddresses(w.other.URL))
	server := httptest.NewUnstartedServer(verifier.HandlerFunc(sdk.RequireScope("read"), func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "{}")
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// metadata is M06: what is promised is what is there.
func (w *strong) metadata(t *testing.T) {
	for name, s := range map[string]*serverProcess{"a second address": w.one, "a proxy": w.other} {
		t.Run("M06 "+name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/.well-known/oauth-authorization-server", nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := doBy(w.plain, request)
			if err != nil {
				t.Fatal(err)
			}
			var says struct {
				Methods    []string          `json:"token_endpoint_auth_methods_supported"`
				Algorithms []string          `json:"token_endpoint_auth_signing_alg_values_supported"`
				DPoP       []string          `json:"dpop_signing_alg_values_supported"`
				Bound      bool              `json:"tls_client_certificate_bound_access_tokens"`
				Aliases    map[string]string `json:"mtls_endpoint_aliases"`
			}
			if err := json.Unmarshal(got.Body, &says); err != nil {
				t.Fatal(err)
			}
			if !says.Bound || !slices.Contains(says.Methods, "tls_client_auth") || !slices.Contains(says.Methods, "private_key_jwt") ||
				len(says.DPoP) == 0 || len(says.Algorithms) == 0 || slices.Contains(append(says.DPoP, says.Algorithms...), "none") {
				t.Errorf("got %s", got.Body)
			}
			want := map[string]string{
				"token_endpoint": w.mtls + tokenPath, "introspection_endpoint": w.mtls + introspectPath, "revocation_endpoint": w.mtls + revokePath,
				"countersign_revocation_endpoint": w.mtls + feedPath,
			}
			if s == w.other {
				want = nil
			}
			for member, address := range want {
				if says.Aliases[member] != address {
					t.Errorf("%s: %q", member, says.Aliases[member])
				}
			}
			if len(says.Aliases) != len(want) {
				t.Errorf("aliases %v", says.Aliases)
			}
		})
	}
}
