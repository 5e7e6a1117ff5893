package devcert_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/devcert"
)

const day = 24 * time.Hour

func config(t *testing.T, names ...string) devcert.Config {
	t.Helper()
	return devcert.Config{Folder: t.TempDir(), Names: names, Lifetime: 90 * day, AuthorityLifetime: 1000 * day, Now: time.Now}
}

func makeCertificate(t *testing.T, c devcert.Config) devcert.Made {
	t.Helper()
	made, err := devcert.Make(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shake connects to a server that presents the certificate in folder, as a client that trusts the authority alone.
func shake(t *testing.T, folder, name string, now func() time.Time) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(read(t, folder, "ca.crt"))) {
		t.Fatal("ca.crt holds no certificate")
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := listener.Accept(); err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client's side tells
			_ = conn.Close()
		}
	}()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, Time: now, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err == nil {
		_ = conn.Close()
	}
	_ = listener.Close()
	<-served
	return err
}

func TestHandshake(t *testing.T) {
	c := config(t, "auth.internal", "*.demo.internal", "localhost", "127.0.0.1", "::1")
	c.AuthorityFolder = t.TempDir()
	if made := makeCertificate(t, c); !made.Authority || !made.Certificate || time.Until(made.NotAfter) < 89*day {
		t.Errorf("%+v", made)
	}
	for name, want := range map[string]bool{
		"auth.internal": true, "a.demo.internal": true, "localhost": true, "127.0.0.1": true, "::1": true, "other.internal": false, "127.0.0.2": false,
	} {
		if err := shake(t, c.Folder, name, c.Now); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for path, want := range map[string]os.FileMode{
		filepath.Join(c.Folder, "tls.key"): 0o600, filepath.Join(c.Folder, "tls.crt"): 0o644, filepath.Join(c.Folder, "ca.crt"): 0o644,
		filepath.Join(c.AuthorityFolder, "ca.key"): 0o600, filepath.Join(c.AuthorityFolder, "ca.crt"): 0o644,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %04o", path, info, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Folder, "ca.key")); err == nil {
		t.Error("the authority's key is beside a server's certificate")
	}
}

// What is good stays, down to the byte; what is not is made anew by the same authority.
func TestAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*devcert.Config)
		anew   bool
	}{
		"nothing changed":          {change: func(*devcert.Config) {}},
		"names in another order":   {change: func(c *devcert.Config) { c.Names = []string{"::1", "a"} }},
		"an address spelled out":   {change: func(c *devcert.Config) { c.Names = []string{"a", "0:0:0:0:0:0:0:1"} }},
		"a name more":              {change: func(c *devcert.Config) { c.Names = append(c.Names, "b") }, anew: true},
		"half of its life is left": {change: func(c *devcert.Config) { c.Now = func() time.Time { return time.Now().Add(45 * day) } }},
		"near its end":             {change: func(c *devcert.Config) { c.Now = func() time.Time { return time.Now().Add(61 * day) } }, anew: true},
		"expired":                  {change: func(c *devcert.Config) { c.Now = func() time.Time { return time.Now().Add(100 * day) } }, anew: true},
		"forced":                   {change: func(c *devcert.Config) { c.Force = true }, anew: true},
		"its key is gone":          {change: func(c *devcert.Config) { _ = os.Remove(filepath.Join(c.Folder, "tls.key")) }, anew: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, "a", "::1")
			makeCertificate(t, c)
			ca, before := read(t, c.Folder, "ca.crt")+read(t, c.Folder, "ca.key"), read(t, c.Folder, "tls.crt")
			tt.change(&c)
			made := makeCertificate(t, c)
			if made.Authority || read(t, c.Folder, "ca.crt")+read(t, c.Folder, "ca.key") != ca {
				t.Error("the authority is another")
			}
			if anew := read(t, c.Folder, "tls.crt") != before; anew != tt.anew || made.Certificate != tt.anew {
				t.Errorf("made anew: %t, told %t, want %t", anew, made.Certificate, tt.anew)
			}
			if err := shake(t, c.Folder, "a", c.Now); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	other := config(t, "a")
	makeCertificate(t, other)
	for name, tt := range map[string]struct {
		planted map[string]string // into the folder, files of the other authority
		says    string
		force   bool // makes it go
	}{
		"a certificate":              {map[string]string{"tls.crt": "tls.crt", "tls.key": "tls.key"}, "was left alone: --force replaces it", true},
		"a key":                      {map[string]string{"tls.key": "tls.key"}, "without", true},
		"trust":                      {map[string]string{"ca.crt": "ca.crt"}, "is of another certificate authority", true},
		"something else":             {map[string]string{"tls.crt": "ca.key"}, "was left alone: --force replaces it", true},
		"half an authority":          {map[string]string{"ca/ca.crt": "ca.crt"}, "name the folder that has both", false},
		"the other half":             {map[string]string{"ca/ca.key": "ca.key"}, "bring its certificate", false},
		"an authority that is none":  {map[string]string{"ca/ca.crt": "tls.crt", "ca/ca.key": "tls.key"}, "none that was made for development", false},
		"an authority of two halves": {map[string]string{"ca/ca.crt": "ca.crt", "ca/ca.key": "tls.key"}, "does not fit", false},
		"an authority of no PEM":     {map[string]string{"ca/ca.crt": "tls.key", "ca/ca.key": "ca.key"}, "not a certificate", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, "a")
			c.AuthorityFolder = filepath.Join(c.Folder, "ca")
			if err := os.Mkdir(c.AuthorityFolder, 0o700); err != nil {
				t.Fatal(err)
			}
			for to, from := range tt.planted {
				if err := os.WriteFile(filepath.Join(c.Folder, to), []byte(read(t, other.Folder, from)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := devcert.Make(c)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("%v, want an error that says %q", err, tt.says)
			}
			for to, from := range tt.planted {
				if read(t, c.Folder, to) != read(t, other.Folder, from) {
					t.Errorf("%s was replaced", to)
				}
			}
			c.Force = true
			if _, err := devcert.Make(c); (err == nil) != tt.force {
				t.Errorf("by force: %v", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*devcert.Config)
		says   string
	}{
		"no name":             {func(c *devcert.Config) { c.Names = nil }, "at least one"},
		"empty name":          {func(c *devcert.Config) { c.Names = []string{""} }, `name is ""`},
		"URL":                 {func(c *devcert.Config) { c.Names = []string{"https://a"} }, "allowed is a DNS name"},
		"port":                {func(c *devcert.Config) { c.Names = []string{"a:1"} }, `"a:1"`},
		"star alone":          {func(c *devcert.Config) { c.Names = []string{"*"} }, `"*"`},
		"star inside":         {func(c *devcert.Config) { c.Names = []string{"a.*.b"} }, "allowed is a DNS name"},
		"zone":                {func(c *devcert.Config) { c.Names = []string{"fe80::1%lo"} }, "allowed is a DNS name"},
		"short life":          {func(c *devcert.Config) { c.Lifetime = time.Minute }, "lifetime is 1m0s"},
		"long life":           {func(c *devcert.Config) { c.AuthorityLifetime = 30 * 365 * day }, "ca-lifetime is"},
		"outlives its issuer": {func(c *devcert.Config) { c.AuthorityLifetime = c.Lifetime - time.Hour }, "ends with its authority"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, "a")
			tt.change(&c)
			if _, err := devcert.Make(c); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want an error that says %q", err, tt.says)
			}
			if left, _ := os.ReadDir(c.Folder); len(left) > 0 {
				t.Errorf("%v was left", left)
			}
		})
	}
	c := config(t, "a")
	makeCertificate(t, c)
	c.Now = func() time.Time { return time.Now().Add(950 * day) }
	if _, err := devcert.Make(c); err == nil || !strings.Contains(err.Error(), "before a certificate of") {
		t.Errorf("%v, want one that says that the authority ends", err)
	}
}

// Many at once make one authority.
func TestTogether(t *testing.T) {
	folder := t.TempDir()
	var group sync.WaitGroup
	for range 8 {
		c := config(t, "a")
		c.AuthorityFolder = folder
		group.Go(func() {
			if _, err := devcert.Make(c); err != nil {
				t.Error(err)
			} else if first, err := os.ReadFile(filepath.Join(c.Folder, "ca.crt")); err != nil || string(first) != read(t, folder, "ca.crt") {
				t.Error("made another authority")
			}
		})
	}
	group.Wait()
}
