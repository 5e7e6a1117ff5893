package listeners_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/testbed"
)

// anywhere is an address of which the system chooses the port.
const anywhere = "127.0.0.1:0"

// saying answers every request with text.
func saying(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	})
}

func newSet(t *testing.T, specs ...listeners.Spec) *listeners.Set {
	t.Helper()
	set := listeners.New(listeners.Config{})
	t.Cleanup(func() { _ = set.Close() })
	apply(t, set, specs...)
	return set
}

func apply(t *testing.T, set *listeners.Set, specs ...listeners.Spec) {
	t.Helper()
	if err := set.Apply(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
}

// address returns where the listener of this name is.
func address(t *testing.T, set *listeners.Set, name string) string {
	t.Helper()
	return status(t, set, name).Address
}

func status(t *testing.T, set *listeners.Set, name string) listeners.Status {
	t.Helper()
	for _, s := range set.Status() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no listener %s", name)
	return listeners.Status{}
}

// dialed is a connection on which requests are written by hand.
type dialed struct {
	net.Conn
	t   *testing.T
	buf *bufio.Reader
}

func dial(t *testing.T, addr string) *dialed {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &dialed{Conn: conn, t: t, buf: bufio.NewReader(conn)}
}

func (d *dialed) send(text string) {
	d.t.Helper()
	if _, err := io.WriteString(d.Conn, text); err != nil {
		d.t.Fatal(err)
	}
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// answer reads one answer and returns its body, with "(last)" behind it if the connection ends after it.
func (d *dialed) answer() string {
	d.t.Helper()
	response, err := http.ReadResponse(d.buf, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if response.Close {
		return string(body) + " (last)"
	}
	return string(body)
}

// ends reports how the connection ends when nothing more is sent.
func (d *dialed) ends() error {
	_, err := io.Copy(io.Discard, d.buf)
	return err
}

// await waits until something that has no event of its own has happened.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	testbed.Wait(t, 10*time.Second, func() error {
		if !done() {
			return errors.New("waited in vain until " + what)
		}
		return nil
	})
}

// pair writes a certificate for name and its key into a folder of their own.
func pair(t *testing.T, name string) listeners.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := listeners.TLS{Certificate: filepath.Join(t.TempDir(), "tls.crt"), Key: filepath.Join(t.TempDir(), "tls.key")}
	for file, block := range map[string]*pem.Block{
		files.Certificate: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func contains(err error, parts ...string) bool {
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			return false
		}
	}
	return true
}
