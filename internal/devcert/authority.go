package devcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign/countersign/internal/privatefile"
)

const (
	organization = "Countersign development"
	serialBits   = 128
	// backdated is how far the beginning of a certificate lies back, for machines whose clocks are behind.
	backdated = 5 * time.Minute
)

// authority is what signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	text        []byte // the certificate in PEM
}

// authority returns the one in the folder, which it makes if there is none.
func (c Config) authority() (ca *authority, fresh bool, err error) {
	certFile, keyFile := filepath.Join(c.AuthorityFolder, AuthorityFile), filepath.Join(c.AuthorityFolder, authorityKey)
	text, certErr := os.ReadFile(certFile) //nolint:gosec // the operator names the folder
	secret, keyErr := os.ReadFile(keyFile) //nolint:gosec // likewise
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		ca, err = c.newAuthority(certFile, keyFile)
		return ca, true, err
	case errors.Is(certErr, fs.ErrNotExist):
		return nil, false, fmt.Errorf("%s is there without %s: bring its certificate, or remove it for a new authority", keyFile, certFile)
	case errors.Is(keyErr, fs.ErrNotExist):
		return nil, false, fmt.Errorf("%s is there without %s: name the folder that has both, or remove it for a new authority", certFile, keyFile)
	case certErr != nil || keyErr != nil:
		return nil, false, fmt.Errorf("read certificate authority: %w", errors.Join(certErr, keyErr))
	}
	ca, err = readAuthority(text, secret)
	if err != nil {
		return nil, false, fmt.Errorf("read certificate authority in %s: %w; it was left alone", c.AuthorityFolder, err)
	}
	return ca, false, nil
}

func readAuthority(text, secret []byte) (*authority, error) {
	certificate, err := parseCertificate(text)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(secret)
	if block == nil {
		return nil, errors.New("its key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("its key is not PKCS #8") // what the parser says may quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errors.New("its key does not fit its certificate")
	}
	if !certificate.IsCA || len(certificate.Subject.Organization) != 1 || certificate.Subject.Organization[0] != organization {
		return nil, fmt.Errorf("it is none that was made for development (its organization is not %q)", organization)
	}
	return &authority{certificate, key, text}, nil
}

func (c Config) newAuthority(certFile, keyFile string) (*authority, error) {
	key, serial, err := newKey()
	if err != nil {
		return nil, err
	}
	now := c.Now().UTC()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{organization}, CommonName: fmt.Sprintf("%s CA %x", organization, serial.Bytes()[:4])},
		NotBefore:    now.Add(-backdated), NotAfter: now.Add(c.AuthorityLifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	ca := &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})}
	return ca, writePair(certFile, ca.text, keyFile, key)
}

func newKey() (*ecdsa.PrivateKey, *big.Int, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	serial := make([]byte, serialBits/8)
	_, _ = rand.Read(serial) // never fails: crypto/rand
	serial[0] = serial[0]&0x7f | 0x40
	return key, new(big.Int).SetBytes(serial), nil
}

// writePair writes the certificate first: one without its key is known as unfinished and made anew.
func writePair(certFile string, text []byte, keyFile string, key *ecdsa.PrivateKey) error {
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := writePublic(certFile, text); err != nil {
		return err
	}
	return privatefile.Write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})) //nolint:wrapcheck // it names the file
}

// writePublic replaces a file that everybody may read.
func writePublic(path string, text []byte) error {
	err := privatefile.Write(path, text)
	if err == nil {
		err = os.Chmod(path, 0o644) //nolint:gosec // a certificate is public
	}
	return err //nolint:wrapcheck // both name the file
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is not a certificate in PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return certificate, nil
}
