package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
)

const forClients = "extendedKeyUsage=clientAuth\n"

// certifiedWorld are clients that have certificates, which OpenSSL made, in place of secrets.
type certifiedWorld struct {
	*foreignWorld

	ca      *opensslCA            // of clients
	servers *opensslCA            // of the server
	server  certificate           // the server's own
	clients map[string]certified  // by the field of the certificate that names them
	cannot  map[string]connection // by why they are refused, with their id in the conformance checklist
}

// certified is a client with a certificate.
type certified struct {
	ID string
	certificate
}

// connection is as whom a request comes, and by which certificate.
type connection struct {
	client string // client_id; empty: it is not sent
	certificate
}

func newCertifiedWorld(t *testing.T) *certifiedWorld {
	t.Helper()
	w := &certifiedWorld{
		foreignWorld: newForeignWorld(t), ca: newOpensslCA(t, "clients"), servers: newOpensslCA(t, "servers"),
		clients: map[string]certified{},
	}
	o := w.office(t)
	w.server = w.servers.Issue(t, "server", "/CN=server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n", "1")
	for field, is := range map[auth.CertificateField]struct{ value, subject, alternative string }{
		auth.SubjectDN: {"CN=orders,OU=Billing\\, Berlin,O=Example", "/O=Example/OU=Billing, Berlin/CN=orders", "DNS:other.test"},
		auth.SANDNS:    {"orders.example.test", "/CN=a", "DNS:other.test,DNS:orders.example.test"},
		auth.SANURI:    {"https://example.test/orders", "/CN=b", "URI:https://example.test/orders"},
		auth.SANIP:     {"2001:db8::7", "/CN=c", "IP:2001:db8::7"},
		auth.SANEmail:  {"orders@example.test", "/CN=d", "email:orders@example.test"},
	} {
		id := w.register(o, map[string]any{
			"name": field, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_" + string(field): is.value,
			"tls_client_certificate_bound_access_tokens": true,
		})
		w.clients[string(field)] = certified{id, w.ca.Issue(t, string(field), is.subject, "subjectAltName="+is.alternative+"\n"+forClients, "1")}
	}
	self := selfSigned(t, "self")
	private, err := os.ReadFile(self.Key)
	if err != nil {
		t.Fatal(err)
	}
	id := w.register(o, map[string]any{
		"name": "self", "token_endpoint_auth_method": "self_signed_tls_client_auth", "tls_client_certificate_bound_access_tokens": true,
		"jwks": keySet(t, private, base64.StdEncoding.EncodeToString(self.DER(t))),
	})
	w.clients["self-signed"] = certified{id, self}
	w.impostors(t)
	return w
}

// impostors are connections that must not pass for the client that is named by a DNS name.
func (w *certifiedWorld) impostors(t *testing.T) {
	t.Helper()
	wanted := w.clients[string(auth.SANDNS)]
	const its = "subjectAltName=DNS:orders.example.test\n"
	w.cannot = map[string]connection{
		"A45 another client's certificate":    {wanted.ID, w.clients[string(auth.SANURI)].certificate},
		"A45 a wildcard":                      {wanted.ID, w.ca.Issue(t, "wildcard", "/CN=w", "subjectAltName=DNS:*.example.test\n"+forClients, "1")},
		"A45 the name as common name":         {wanted.ID, w.ca.Issue(t, "common", "/CN=orders.example.test", "subjectAltName=DNS:other.test\n"+forClients, "1")},
		"A45 another authority":               {wanted.ID, newOpensslCA(t, "clients").Issue(t, "other", "/CN=a", its+forClients, "1")},
		"A45 a certificate for servers":       {wanted.ID, w.ca.Issue(t, "servers", "/CN=a", its+"extendedKeyUsage=serverAuth\n", "1")},
		"A46 expired":                         {wanted.ID, w.ca.Issue(t, "expired", "/CN=a", its+forClients, "-1")},
		"A49 self-signed, not registered":     {w.clients["self-signed"].ID, selfSigned(t, "self")},
		"self-signed for one of an authority": {wanted.ID, selfSigned(t, "orders.example.test")},
		"no certificate":                      {wanted.ID, certificate{}},
		"a client with a secret":              {w.Caller.ID, wanted.certificate},
	}
}

// Clients authenticate by certificates that OpenSSL made, with curl, on the listener of all others or on one of their own.
func TestForeignCertificates(t *testing.T) {
	w := newCertifiedWorld(t)
	public, other := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	withTLS := []string{"issuer=https://" + public, "listen=" + public, "tls-cert=" + w.server.File, "tls-key=" + w.server.Key, "tls-client-ca=" + w.ca.File}
	t.Run("one listener", func(t *testing.T) {
		s := startServer(t, w.Settings(append(withTLS, "tls-request-client-cert=true")...)...)
		w.try(t, s.Issuer, func(p certificate) []string {
			return append(p.curl(), "--cacert", w.servers.File)
		})
	})
	t.Run("a listener of their own", func(t *testing.T) {
		s := startServer(t, w.Settings(append(withTLS, "mtls-listen="+other, "mtls-url=https://"+other)...)...)
		w.try(t, s.Issuer, func(p certificate) []string {
			return append(p.curl(), "--cacert", w.servers.File)
		})
	})
	t.Run("behind a proxy", func(t *testing.T) { // which curl plays
		s := startServer(t, w.Settings("tls-client-ca="+w.ca.File, "client-cert-from=127.0.0.1")...)
		w.try(t, s.Issuer, func(p certificate) []string { return p.forwarded(t) })
	})
	t.Run("A48 behind nobody", func(t *testing.T) {
		s := startServer(t, w.Settings("tls-client-ca="+w.ca.File, "client-cert-from=192.0.2.1")...)
		one := w.clients[string(auth.SANDNS)]
		got := w.token(t, s.Issuer+"/oauth2/token", connection{one.ID, one.certificate}, jwtAPI, one.forwarded(t))
		if got.status != "401" || got.members["error"] != "invalid_client" {
			t.Errorf("got %s %v", got.status, got.members)
		}
	})
}

// curl is how curl connects with the certificate.
func (c certificate) curl() []string {
	if c == (certificate{}) {
		return nil
	}
	return []string{"--cert", c.File, "--key", c.Key}
}

// forwarded is what a proxy says of a client with the certificate, RFC 9440 §2.2.
func (c certificate) forwarded(t *testing.T) []string {
	t.Helper()
	if c == (certificate{}) {
		return nil
	}
	return []string{"-H", "Client-Cert: :" + base64.StdEncoding.EncodeToString(c.DER(t)) + ":"}
}

// try has everybody ask for tokens. by is how curl is told of a certificate.
func (w *certifiedWorld) try(t *testing.T, issuer string, by func(certificate) []string) {
	t.Helper()
	var metadata struct {
		Token   string            `json:"token_endpoint"`
		Methods []string          `json:"token_endpoint_auth_methods_supported"`
		Aliases map[string]string `json:"mtls_endpoint_aliases"`
	}
	printed := runCurl(t, append(by(certificate{}), "--cacert", w.servers.File, issuer+"/.well-known/oauth-authorization-server")...)
	if err := json.Unmarshal(printed, &metadata); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	t.Run("M03 M06 metadata", func(t *testing.T) {
		if all := strings.Join(metadata.Methods, " "); !strings.Contains(all, "tls_client_auth") || !strings.Contains(all, "self_signed_tls_client_auth") {
			t.Errorf("methods: %s", all)
		}
	})
	endpoint := metadata.Token
	if alias := metadata.Aliases["token_endpoint"]; alias != "" {
		endpoint = alias
	}
	for name, c := range w.clients {
		t.Run("A44 B04 "+name, func(t *testing.T) {
			for _, audience := range []string{jwtAPI, opaqueAPI} {
				got := w.token(t, endpoint, connection{c.ID, c.certificate}, audience, by(c.certificate))
				presented, _ := got.members["access_token"].(string)
				if got.status != "200" || got.members["token_type"] != "Bearer" {
					t.Fatalf("got %s %v", got.status, got.members)
				}
				ask := append(by(c.certificate), "--cacert", w.servers.File, "-d", "client_id="+c.ID, "-d", "token="+presented, strings.Replace(endpoint, "/token", "/introspect", 1))
				var found struct {
					Client string            `json:"client_id"`
					Bound  map[string]string `json:"cnf"`
				}
				if printed := runCurl(t, ask...); json.Unmarshal(printed, &found) != nil || found.Client != c.ID || found.Bound["x5t#S256"] != c.Thumbprint(t) {
					t.Errorf("introspection says %s", printed)
				}
			}
		})
	}
	t.Run("A47 no client_id", func(t *testing.T) {
		one := w.clients[string(auth.SANDNS)]
		if got := w.token(t, endpoint, connection{certificate: one.certificate}, jwtAPI, by(one.certificate)); got.status != "400" || got.members["error"] != "invalid_request" {
			t.Errorf("got %s %v", got.status, got.members)
		}
	})
	for name, c := range w.cannot {
		t.Run(name, func(t *testing.T) {
			got := w.token(t, endpoint, c, jwtAPI, by(c.certificate))
			if got.status != "401" || got.members["error"] != "invalid_client" {
				t.Errorf("got %s %v", got.status, got.members)
			}
		})
	}
}

// curled is an answer.
type curled struct {
	status  string
	members map[string]any
}

func (w *certifiedWorld) token(t *testing.T, endpoint string, c connection, audience string, by []string) (got curled) {
	t.Helper()
	args := append(by, "--cacert", w.servers.File, "-w", "\n%{http_code}", "-d", "grant_type=client_credentials", "-d", "scope=read", "--data-urlencode", "resource="+audience)
	if c.client != "" {
		args = append(args, "-d", "client_id="+c.client)
	}
	body, status, _ := strings.Cut(string(runCurl(t, append(args, endpoint)...)), "\n\n")
	got.status = status
	if err := json.Unmarshal([]byte(body), &got.members); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return got
}

func runCurl(t *testing.T, args ...string) []byte {
	t.Helper()
	printed, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--noproxy", "*"}, args...)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("curl: %v: %s", err, exit.Stderr)
	}
	return printed
}
