package certificate

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// authority makes certificates by OpenSSL, which is no code of ours.
type authority struct {
	*x509.Certificate

	folder string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	openssl(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=authority", "-keyout", a.in("ca.key"), "-out", a.in("ca.pem"))
	a.Certificate = readCertificate(t, a.in("ca.pem"))
	return a
}

func (a *authority) in(name string) string { return filepath.Join(a.folder, name) }

// issue makes a certificate. extensions are lines of OpenSSL's configuration; days may be negative.
func (a *authority) issue(t *testing.T, subject, extensions, days string) *x509.Certificate {
	t.Helper()
	if err := os.WriteFile(a.in("ext"), []byte(extensions), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", a.in("key"), "-out", a.in("csr"))
	openssl(t, "x509", "-req", "-in", a.in("csr"), "-CA", a.in("ca.pem"), "-CAkey", a.in("ca.key"), "-CAcreateserial", "-days", days, "-extfile", a.in("ext"), "-out", a.in("pem"))
	return readCertificate(t, a.in("pem"))
}

// under makes another authority that this one vouches for.
func (a *authority) under(t *testing.T) *authority {
	t.Helper()
	made := &authority{folder: t.TempDir()}
	made.Certificate = a.issue(t, "/CN=between", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", "1")
	for from, to := range map[string]string{"key": "ca.key", "pem": "ca.pem"} {
		if err := os.Rename(a.in(from), made.in(to)); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func readCertificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no PEM", file)
	}
	read, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// world is a checker with a client.
type world struct {
	Checker

	client  auth.Client
	issuers map[auth.TrustedIssuerID]*auth.TrustedIssuer
	down    error  // of documents
	newer   []byte // what NewerDocument gives; nil: what is inline
	asked   []remotekeys.Source
}

func newWorld(method auth.Method, proofs auth.Proofs, roots ...*authority) *world {
	w := &world{issuers: map[auth.TrustedIssuerID]*auth.TrustedIssuer{}}
	w.client = auth.Client{ID: auth.NewClientID(time.Now()), Status: auth.Active, AuthMethod: method, Proofs: proofs}
	w.Documents, w.Directory, w.Now = w, w, time.Now
	if len(roots) > 0 {
		pool := x509.NewCertPool()
		for _, root := range roots {
			pool.AddCert(root.Certificate)
		}
		w.Authorities = func() *x509.CertPool { return pool }
	}
	return w
}

// Document gives what is inline.
func (w *world) Document(_ context.Context, source remotekeys.Source) ([]byte, error) {
	w.asked = append(w.asked, source)
	return []byte(source.Inline), w.down
}

// NewerDocument gives what there is now.
func (w *world) NewerDocument(_ context.Context, source remotekeys.Source) ([]byte, error) {
	if w.newer != nil {
		return w.newer, w.down
	}
	return []byte(source.Inline), w.down
}

// TrustedIssuer is that of a directory.
func (w *world) TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer { return w.issuers[id] }

// judge wants a chain to be let in, or refused for a reason and a detail that begins so.
func (w *world) judge(t *testing.T, reason, detail string, chain ...*x509.Certificate) auth.Proven {
	t.Helper()
	proven, err := w.Check(t.Context(), &auth.ClientRecord{Client: &w.client}, chain)
	if reason == "" {
		if err != nil {
			t.Errorf("refused: %v, %+v", err, err)
		}
		return proven
	}
	refusal, ok := errors.AsType[*auth.Refusal](err)
	if !ok || refusal.Reason != reason || !strings.HasPrefix(refusal.Detail, detail) || refusal.Client != w.client.ID {
		t.Errorf("got %v, %+v, want %s, %q", err, refusal, reason, detail)
	}
	if proven != (auth.Proven{}) {
		t.Errorf("refused, and proves %+v", proven)
	}
	return proven
}

// set is a JWK set of keys of certificates, with these members for each.
func set(t *testing.T, more string, withChain bool, certificates ...*x509.Certificate) json.RawMessage {
	t.Helper()
	var all []string
	for _, one := range certificates {
		jwk, err := jose.PublicJWK(one.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(string(jwk), "}") + more
		if withChain {
			text += fmt.Sprintf(`,"x5c":[%q]`, base64.StdEncoding.EncodeToString(one.Raw))
		}
		all = append(all, text+"}")
	}
	return json.RawMessage(`{"keys":[` + strings.Join(all, ",") + `]}`)
}

func openssl(t *testing.T, args ...string) {
	t.Helper()
	if printed, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v: %s", args, err, printed)
	}
}
