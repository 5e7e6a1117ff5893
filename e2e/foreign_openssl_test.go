package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", args...)
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return printed
}

// opensslCA is a certificate authority of OpenSSL's command line.
type opensslCA struct {
	folder string
	File   string // its certificate
}

// certificate is one with its key, both PEM files.
type certificate struct{ File, Key string }

func newOpensslCA(t *testing.T, name string) *opensslCA {
	t.Helper()
	folder := t.TempDir()
	ca := &opensslCA{folder: folder, File: filepath.Join(folder, "ca.pem")}
	openssl(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN="+name,
		"-keyout", filepath.Join(folder, "ca.key"), "-out", ca.File)
	return ca
}

// Issue makes a certificate. extensions are lines of OpenSSL's configuration; days may be negative for one that has expired.
func (ca *opensslCA) Issue(t *testing.T, name, subject, extensions, days string) certificate {
	t.Helper()
	in := func(suffix string) string { return filepath.Join(ca.folder, name+suffix) }
	if err := os.WriteFile(in(".ext"), []byte(extensions), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl(t, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", in(".key"), "-out", in(".csr"))
	openssl(t, "x509", "-req", "-in", in(".csr"), "-CA", ca.File, "-CAkey", filepath.Join(ca.folder, "ca.key"), "-CAcreateserial",
		"-days", days, "-extfile", in(".ext"), "-out", in(".pem"))
	return certificate{in(".pem"), in(".key")}
}

// selfSigned makes a certificate that nobody vouches for.
func selfSigned(t *testing.T, name string) certificate {
	t.Helper()
	folder := t.TempDir()
	made := certificate{filepath.Join(folder, name+".pem"), filepath.Join(folder, name+".key")}
	openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN="+name, "-keyout", made.Key, "-out", made.File)
	return made
}

// DER returns the certificate itself.
func (c certificate) DER(t *testing.T) []byte {
	t.Helper()
	return openssl(t, "x509", "-in", c.File, "-outform", "DER")
}

// Thumbprint is the x5t#S256 of RFC 8705 §3.1.
func (c certificate) Thumbprint(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256(c.DER(t))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
