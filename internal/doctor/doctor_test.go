package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/doctor"
	"github.com/countersign/countersign/internal/terminal"
)

func expect(t *testing.T, got doctor.Finding, level doctor.Level, found string) {
	t.Helper()
	if got.Level != level || !strings.Contains(got.Found, found) || (got.Cure == "") != (level == doctor.OK) {
		t.Errorf("got %+v, want %s with %q, and a cure unless it is ok", got, level, found)
	}
}

func TestHangingLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, free := time.Now(), make(chan struct{})
		got := doctor.Steps(t.Context(), func(context.Context) string { <-free; return "never" }, func(context.Context) string { return "well" })
		if took := time.Since(begun); took != doctor.Within {
			t.Errorf("it took %v", took)
		}
		want := []doctor.Finding{
			{Check: "hangs", Level: doctor.Fail, Found: "no answer within 5s", Cure: "see whether it hangs, or a firewall drops what is sent to it"},
			{Check: "quick", Level: doctor.OK, Found: "well"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		close(free)
	})
}

func TestClocks(t *testing.T) {
	for _, tt := range []struct {
		ahead time.Duration
		level doctor.Level
		found string
	}{
		{0, doctor.OK, "as that of this machine"},
		{3 * time.Second, doctor.OK, "3s ahead of the database"},
		{-30 * time.Second, doctor.Warn, "30s behind the database"},
		{2 * time.Minute, doctor.Fail, "2m0s ahead of the database: 1m0s are allowed"},
		{-2 * time.Minute, doctor.Fail, "2m0s behind the database"},
	} {
		t.Run(tt.ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := doctor.Config{Now: func() time.Time { return time.Now().Add(tt.ahead) }}
				expect(t, c.CompareClock(t.Context(), func(context.Context) (time.Time, error) { return time.Now(), nil }), tt.level, tt.found)
			})
		})
	}
}

func TestDatabaseTLS(t *testing.T) {
	const tls = "TLSv1.3 TLS_AES_256_GCM_SHA384"
	for _, tt := range []struct {
		name, address, parameter, tls string
		level                         doctor.Level
		found                         string
	}{
		{"a file", "", "", "", doctor.OK, "a file"},
		{"here", "127.0.0.1:3306", "", "", doctor.OK, "on this machine"},
		{"elsewhere in the clear", "db.internal:3306", "", "", doctor.Warn, "who listens"},
		{"elsewhere, anybody's certificate", "db.internal:3306", "preferred", tls, doctor.Warn, "not checked"},
		{"elsewhere", "db.internal:3306", "true", tls, doctor.OK, tls},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := doctor.Config{DatabaseAddress: tt.address, DatabaseTLS: tt.parameter}
			expect(t, c.DatabaseTLSOf(doctor.Facts{TLS: tt.tls}), tt.level, tt.found)
		})
	}
}

func TestMachine(t *testing.T) {
	const unlimited = 1<<63 - 1
	root := func(file, text string) doctor.Config {
		return doctor.Config{Root: fstest.MapFS{file: {Data: []byte(text)}}}
	}
	group, old, machine := "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes", "proc/meminfo"
	expect(t, root(group, "1073741824\n").Memory(unlimited), doctor.Warn, "1024 MiB in this control group, of which the program is not told")
	expect(t, root(group, "1073741824\n").Memory(900<<20), doctor.OK, "1024 MiB")
	expect(t, root(group, "max\n").Memory(unlimited), doctor.OK, "cannot be seen")
	expect(t, root(old, "104857600\n").Memory(90<<20), doctor.Warn, "100 MiB")
	expect(t, root(old, "9223372036854771712\n").Memory(unlimited), doctor.OK, "cannot be seen")
	expect(t, root(machine, "MemTotal:       8000000 kB\nMemFree: 1 kB\n").Memory(unlimited), doctor.OK, "7812 MiB in this machine")
	expect(t, doctor.Files(1024), doctor.Warn, "1024")
	expect(t, doctor.Files(65536), doctor.OK, "65536")
	expect(t, doctor.Files(1<<64-1), doctor.OK, "no limit")
}

// What stands before an @ may be a password.
func TestIssuerWithUserIsNotShown(t *testing.T) {
	for _, issuer := range []string{"https://user:planted@auth.example.com", "https://user:planted%zz@auth.example.com", "HTTPS://planted@auth.example.com"} {
		found := doctor.Config{Issuer: issuer}.Issuers(t.Context())
		if len(found) != 1 || strings.Contains(fmt.Sprint(found), "planted") {
			t.Errorf("%v", found)
			continue
		}
		expect(t, found[0], doctor.Fail, "has a user")
	}
}

func TestTrustedProxies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config doctor.Config
		level  doctor.Level
		found  string
	}{
		{"none", doctor.Config{Issuer: "http://127.0.0.1:9001"}, doctor.OK, "not believed"},
		{"none, behind one", doctor.Config{Issuer: "https://auth.example.com"}, doctor.Warn, "a proxy must be in front"},
		{"a private network", doctor.Config{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}}, doctor.OK, "10.0.0.0/8"},
		{"half of the Internet", doctor.Config{TrustedProxies: []string{"128.0.0.0/1"}}, doctor.Warn, "large part"},
		{"everybody", doctor.Config{TrustedProxies: []string{"::/0"}}, doctor.Fail, "everybody"},
		{"a name", doctor.Config{TrustedProxies: []string{"proxy.internal"}}, doctor.Fail, "proxy.internal"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.config.Proxies(), tt.level, tt.found) })
	}
}

// certificate writes a certificate that is valid for some time, and its key.
func certificate(t *testing.T, name string, valid time.Duration) (c doctor.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c = doctor.Config{Issuer: "https://auth.example.com", Now: time.Now, TLSCert: filepath.Join(folder, "tls.crt"), TLSKey: filepath.Join(folder, "tls.key")}
	for path, block := range map[string]*pem.Block{c.TLSCert: {Type: "CERTIFICATE", Bytes: der}, c.TLSKey: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestCertificates(t *testing.T) {
	const year = 365 * 24 * time.Hour
	good, other := certificate(t, "auth.example.com", year), certificate(t, "auth.example.com", year)
	expect(t, good.Certificate(), doctor.OK, "for auth.example.com, until ")
	expect(t, certificate(t, "auth.example.com", -time.Minute).Certificate(), doctor.Fail, "expired")
	expect(t, certificate(t, "auth.example.com", 24*time.Hour).Certificate(), doctor.Warn, "until")
	expect(t, certificate(t, "www.example.com", year).Certificate(), doctor.Fail, "not the issuer's host auth.example.com")
	mixed := good
	mixed.TLSKey = other.TLSKey
	expect(t, mixed.Certificate(), doctor.Fail, "private key does not match")
	missing := good
	missing.TLSKey += ".none"
	expect(t, missing.Certificate(), doctor.Fail, "no such file")
	early := good
	early.Now = func() time.Time { return time.Now().Add(-year) }
	expect(t, early.Certificate(), doctor.Fail, "not valid before")
	plain := good
	plain.Issuer = "http://127.0.0.1:9001"
	expect(t, plain.Certificate(), doctor.Fail, "issuer is not https")
	if err := os.Chmod(good.TLSKey, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, good.Certificate(), doctor.Warn, "others may read its key")
	behind := doctor.Config{Issuer: "https://auth.example.com", Listen: "127.0.0.1:9001"}
	expect(t, behind.Certificate(), doctor.OK, "a proxy on this machine has it")
	behind.Listen = ":9001"
	expect(t, behind.Certificate(), doctor.Warn, "in the clear")
}

func TestWrite(t *testing.T) {
	all := []doctor.Finding{
		{Check: "database", Level: doctor.OK, Found: "MariaDB 11.8 at db:3306"},
		{Check: "redis memory", Level: doctor.Warn, Found: "no limit", Cure: "set maxmemory"},
		{Check: "listen", Level: doctor.Fail, Found: "held by \x1b[2Jnginx\n", Cure: "end it"},
	}
	var plain strings.Builder
	if err := doctor.Write(&plain, all, terminal.Palette{}); err != nil {
		t.Fatal(err)
	}
	want := `ok    database      MariaDB 11.8 at db:3306
warn  redis memory  no limit
                    ▸ set maxmemory
fail  listen        held by  [2Jnginx` + " \n" + `                    ▸ end it

1 ok, 1 to look at, 1 to mend
`
	if diff := cmp.Diff(want, plain.String()); diff != "" {
		t.Error(diff)
	}
	if worst := doctor.Worst(all[:2]); worst != doctor.Warn {
		t.Errorf("the worst is %s", worst)
	}
}
