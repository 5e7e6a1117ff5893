package devcert

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificate makes the certificate in the folder unless the one that is there will do.
func (c Config) certificate(ca *authority) (Made, error) {
	certFile, keyFile, copied := filepath.Join(c.Folder, CertificateFile), filepath.Join(c.Folder, KeyFile), filepath.Join(c.Folder, AuthorityFile)
	present, err := c.present(ca, certFile, keyFile)
	if err != nil {
		return Made{}, err
	}
	if err := c.mayReplace(copied, ca); err != nil {
		return Made{}, err
	}
	made := Made{}
	if present == nil || c.Force {
		if present, err = c.sign(ca, certFile, keyFile); err != nil {
			return Made{}, err
		}
		made.Certificate = true
	}
	made.NotAfter = present.NotAfter
	if c.Folder == c.AuthorityFolder {
		return made, nil
	}
	return made, writePublic(copied, ca.text)
}

// present returns the certificate in the folder if it is still good, and nil if one is to be made. What this authority did not sign is
// nobody's to replace but by force.
func (c Config) present(ca *authority, certFile, keyFile string) (*x509.Certificate, error) {
	text, err := os.ReadFile(certFile) //nolint:gosec // the operator names the folder
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(keyFile); err == nil && !c.Force {
			return nil, fmt.Errorf("%s is there without %s and was left alone: --force replaces it", keyFile, certFile)
		}
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certificate, err := parseCertificate(text)
	if err == nil {
		err = certificate.CheckSignatureFrom(ca.certificate)
	}
	switch {
	case c.Force:
		return nil, nil //nolint:nilnil // documented
	case err != nil:
		return nil, fmt.Errorf("%s is not of the certificate authority in %s and was left alone: --force replaces it", certFile, c.AuthorityFolder)
	}
	life, left := certificate.NotAfter.Sub(certificate.NotBefore), certificate.NotAfter.Sub(c.Now())
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil || left < life/3 || !sameNames(certificate, c.Names) {
		return nil, nil //nolint:nilerr,nilnil // documented
	}
	return certificate, nil
}

// mayReplace refuses to replace the certificate of another authority, which somebody may trust for a reason.
func (c Config) mayReplace(copied string, ca *authority) error {
	text, err := os.ReadFile(copied) //nolint:gosec // the operator names the folder
	switch {
	case errors.Is(err, fs.ErrNotExist), c.Force, err == nil && bytes.Equal(text, ca.text):
		return nil
	case err != nil:
		return fmt.Errorf("read certificate of the authority: %w", err)
	}
	return fmt.Errorf("%s is of another certificate authority than the one in %s and was left alone: --force replaces it", copied, c.AuthorityFolder)
}

func (c Config) sign(ca *authority, certFile, keyFile string) (*x509.Certificate, error) {
	now := c.Now().UTC()
	if end := ca.certificate.NotAfter; end.Before(now.Add(c.Lifetime)) {
		return nil, fmt.Errorf("the certificate authority in %s ends at %s, before a certificate of %v would: ask for a shorter one, or remove %s and %s there for a new authority",
			c.AuthorityFolder, end.Format(time.RFC3339), c.Lifetime, AuthorityFile, authorityKey)
	}
	key, serial, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{organization}},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(c.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, name := range c.Names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return certificate, writePair(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), keyFile, key)
}
