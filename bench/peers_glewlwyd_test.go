package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// glewlwydSchema is where Debian's package keeps the tables and the first administrator for whoever installs it with MariaDB.
const glewlwydSchema = "/usr/share/dbconfig-common/data/glewlwyd/install/mysql"

// addGlewlwyd starts glewlwyd on a schema of its own, and has its administrator set it up as its pages would.
func (w *peersWorld) addGlewlwyd() {
	w.Helper()
	statements, err := os.ReadFile(glewlwydSchema)
	w.check(err)
	dsn := w.createSchema(glewlwyd, string(statements))
	host, port, err := net.SplitHostPort(dsn.Addr)
	w.check(err)
	binary := testbed.FindProgram(w, "glewlwyd")
	w.versions[glewlwyd] = w.versionOf(binary, "--version")
	p := w.run(proxy{
		name: glewlwyd, binary: binary, folder: "peers/glewlwyd", config: "glewlwyd.conf", args: []string{"-c"}, ways: []string{"Listen"},
		more: map[string]string{"Host": host, "Port": port, "User": dsn.User, "Password": dsn.Passwd, "Schema": dsn.DBName},
	})
	jar, err := cookiejar.New(nil)
	w.check(err)
	admin, api := &http.Client{Timeout: time.Minute, Jar: jar}, "http://"+p.address+"/api"
	w.send(admin, api+"/auth/", map[string]string{"username": "admin", "password": "password"}) // of the package
	private, public := w.newPEM()
	w.send(admin, api+"/mod/plugin/", map[string]any{
		"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": map[string]any{
			"iss": "http://" + p.address, "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private, "cert": public,
			"code-duration": 600, "refresh-token-duration": 1209600, "access-token-duration": 3600,
			"allow-non-oidc": true, "auth-type-client-enabled": true, "auth-type-code-enabled": true, "auth-type-refresh-enabled": true,
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
		},
	})
	for _, scope := range []string{"read", "write"} {
		w.send(admin, api+"/scope/", map[string]any{"name": scope, "display_name": scope, "password_required": true, "scheme": map[string]any{}})
	}
	w.send(admin, api+"/client/", map[string]any{
		"client_id": peerClient, "name": peerClient, "password": peerSecret, "confidential": true, "enabled": true, "scope": []string{"read", "write"},
		"authorization_type": []string{"client_credentials"}, "token_endpoint_auth_method": []string{"client_secret_basic"},
	})
	const hashes = "a newer hash of secrets than SHA-1"
	w.all = append(w.all, authority{
		program: p.program, name: glewlwyd, id: peerClient, secret: peerSecret, jwt: true, token: "/api/oidc/token", form: scoped(), issued: granted(true),
		introspect: "/api/oidc/introspect", with: map[string]int{"MariaDB": w.mariadb.PID()}, rows: glewlwyd + ".gpo_access_token", lacks: hashes, knows: hashes,
	})
}

// newPEM returns a new ES256 key, and its public half.
func (s *scene) newPEM() (private, public string) {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	s.check(err)
	known, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	s.check(err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("PRIVATE KEY", secret), encode("PUBLIC KEY", known)
}
