package proof_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/proof"
)

// certificateA is the certificate of RFC 8705 appendix A.
const certificateA = `-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
`

func der(t testing.TB) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(certificateA))
	if block == nil {
		t.Fatal("not PEM")
	}
	return block.Bytes
}

func TestCertificateThumbprint(t *testing.T) {
	t.Run("B04", func(t *testing.T) {
		c, err := x509.ParseCertificate(der(t))
		if err != nil {
			t.Fatal(err)
		}
		sum := proof.CertificateThumbprint(c)
		if got := base64url(sum[:]); got != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
			t.Errorf("got %s", got)
		}
	})
}

func TestParseClientCert(t *testing.T) {
	item := ":" + base64.StdEncoding.EncodeToString(der(t)) + ":"
	spare := strings.TrimRight(strings.Trim(item, ":"), "=")
	for _, tt := range []struct {
		name    string
		headers []string
		err     error
	}{
		{"one", []string{item}, nil},
		{"space around it", []string{" " + item + "  "}, nil},
		{"none", nil, proof.ErrNoClientCert},
		{"two headers", []string{item, item}, proof.ErrClientCert},
		{"two in one header", []string{item + ", " + item}, proof.ErrClientCert},
		{"empty", []string{""}, proof.ErrClientCert},
		{"one colon", []string{":"}, proof.ErrClientCert},
		{"two colons", []string{"::"}, proof.ErrClientCert},
		{"no colons", []string{strings.Trim(item, ":")}, proof.ErrClientCert},
		{"a parameter", []string{item + ";a=1"}, proof.ErrClientCert},
		{"a line end within", []string{item[:20] + "\n" + item[20:]}, proof.ErrClientCert},
		{"without padding", []string{":" + spare + ":"}, proof.ErrClientCert},
		{"base64url", []string{strings.NewReplacer("+", "-", "/", "_").Replace(item)}, proof.ErrClientCert},
		{"text after the certificate", []string{":" + base64.StdEncoding.EncodeToString(append(der(t), 0)) + ":"}, proof.ErrClientCert},
		{"percent-encoded PEM", []string{"-----BEGIN%20CERTIFICATE-----"}, proof.ErrClientCert},
		{"too long", []string{":" + strings.Repeat("A", proof.MaxClientCert) + ":"}, proof.ErrClientCert},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := proof.ParseClientCert(tt.headers)
			if !errors.Is(err, tt.err) || (c == nil) != (tt.err != nil) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if c != nil && !bytes.Equal(c.Raw, der(t)) {
				t.Error("another certificate")
			}
		})
	}
}

func TestParseClientCertChain(t *testing.T) {
	item := ":" + base64.StdEncoding.EncodeToString(der(t)) + ":"
	for _, tt := range []struct {
		name    string
		headers []string
		want    int
		err     error
	}{
		{"none", nil, 0, nil},
		{"one", []string{item}, 1, nil},
		{"two in a header", []string{item + " ,\t" + item}, 2, nil},
		{"in two headers", []string{item, item + "," + item}, 3, nil},
		{"nothing between commas", []string{item + ",," + item}, 0, proof.ErrClientCert},
		{"a comma at the end", []string{item + ","}, 0, proof.ErrClientCert},
		{"too many", []string{strings.Repeat(item+",", proof.MaxClientCertChain) + item}, 0, proof.ErrClientCert},
		{"too long", []string{strings.Repeat("A", proof.MaxClientCert+1)}, 0, proof.ErrClientCert},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain, err := proof.ParseClientCertChain(tt.headers)
			if !errors.Is(err, tt.err) || len(chain) != tt.want {
				t.Errorf("got %d and %v", len(chain), err)
			}
		})
	}
}

// FuzzParseClientCert sees to it that nothing panics, and that what is read is what was written.
func FuzzParseClientCert(f *testing.F) {
	for _, seed := range []string{"", ":", "::", ":AA==:", ":" + base64.StdEncoding.EncodeToString(der(f)) + ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, err := proof.ParseClientCert([]string{header})
		switch {
		case err != nil && (c != nil || !errors.Is(err, proof.ErrClientCert)):
			t.Fatalf("%q: %v, %v", header, c, err)
		case err == nil && strings.Trim(header, " ") != ":"+base64.StdEncoding.EncodeToString(c.Raw)+":":
			t.Fatalf("%q is not the only form of its certificate", header)
		}
		if chain, err := proof.ParseClientCertChain([]string{header}); err == nil && (len(chain) == 0 || len(chain) > proof.MaxClientCertChain) {
			t.Fatalf("%q: %d certificates", header, len(chain))
		}
	})
}
