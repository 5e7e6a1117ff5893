package auth_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func TestParseDistinguishedName(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"CN=orders,O=Example", "cn=orders, o=Example", true},
		{"CN=orders,O=Example", "2.5.4.3=orders,2.5.4.10=Example", true},
		{`CN=a\,b`, `CN=a\2cb`, true},
		{"CN=a+OU=b", "OU=b+CN=a", true},
		{"CN=a", "CN=#0c0161", true}, // UTF8String
		{"CN=a", "CN=#130161", true}, // PrintableString
		{`CN=\#130161`, "CN=#130161", false},
		{"CN=#020101", "CN=#020101", false}, // INTEGER
		{"CN=#0c016", "CN=#0c016", false},
		{"DC=example,DC=com", "0.9.2342.19200300.100.1.25=example,dc=com", true},
		{"emailAddress=a@b", "E=a@b", true},
		{"CN=orders,O=Example", "O=Example,CN=orders", false},
		{"CN=orders", "CN=Orders", false},
		{"CN=orders", "CN=orders,O=Example", false},
		{"CN=orders+O=Example", "CN=orders,O=Example", false},
		{`CN=a\ `, "CN=a", false},
		{`CN=a\\ `, `CN=a\\`, true},
		{"CN=a", "CN=a ", true},
		{"CN=", "CN=", true},
		{"orders", "orders", false},
		{"Nonsense=a", "Nonsense=a", false},
		{"2.5.4.03=a", "2.5.4.03=a", false},
		{"=a", "=a", false},
		{`CN=a\`, `CN=a\`, false},
		{"CN=a,", "CN=a,", false},
		{"", "", false},
	} {
		a, readA := auth.ParseDistinguishedName(tt.a)
		b, readB := auth.ParseDistinguishedName(tt.b)
		if same := readA && readB && a.Equal(b); same != tt.same {
			t.Errorf("%q and %q: same is %v, want %v (%v, %v)", tt.a, tt.b, same, tt.same, a, b)
		}
	}
}

// Subjects are made by OpenSSL, and so is the text that they are registered by.
func TestSubjectsOfOpenSSL(t *testing.T) {
	folder := t.TempDir()
	for _, tt := range []struct {
		subject string
		others  []string // texts of RFC 4514 of which each is the subject too
		not     []string
	}{
		{"/CN=orders", []string{"cn=orders", "CN = orders"}, []string{"CN=orders.example", "O=orders", "CN=orders,CN=orders", ""}},
		{"/C=DE/O=Example/OU=Billing, Berlin/CN=orders", []string{`CN=orders,OU=Billing\, Berlin,O=Example,C=DE`, `CN=orders,OU=Billing\2c Berlin,O=Example,C=DE`}, []string{
			`C=DE,O=Example,OU=Billing\, Berlin,CN=orders`, `CN=orders,OU=Billing, Berlin,O=Example,C=DE`, `CN=orders,O=Example,C=DE`, `CN=orders`,
		}},
		{"/DC=com/DC=example/CN=orders", []string{"CN=orders,DC=example,DC=com"}, []string{"CN=orders,DC=com,DC=example", "CN=orders,DC=example"}},
		{"/O=Example/CN=orders+UID=7", []string{"UID=7+CN=orders,O=Example", "CN=orders+UID=7,O=Example"}, []string{"CN=orders,UID=7,O=Example", "CN=orders,O=Example"}},
		{"/O=Müller & Söhne/CN=Größe", []string{"CN=Größe,O=Müller & Söhne", `CN=Gr\C3\B6\C3\9Fe,O=M\C3\BCller & S\C3\B6hne`}, []string{"CN=Grosse,O=Müller & Söhne"}},
		{`/CN=a\+b\\c"d;e<f>g=h#i`, []string{`CN=a\+b\\c\"d\;e\<f\>g\=h#i`}, []string{`CN=a+b`}},
		{"/emailAddress=a@example.test/CN=orders", []string{"CN=orders,E=a@example.test"}, []string{"CN=orders"}},
		{"/serialNumber=42/title=Dr/GN=A/SN=B/L=X/ST=Y/street=Z/postalCode=1/CN=x", []string{
			"CN=x,postalCode=1,street=Z,ST=Y,L=X,SN=B,GN=A,title=Dr,serialNumber=42", "CN=x,2.5.4.17=1,STREET=Z,S=Y,L=X,surname=B,givenName=A,T=Dr,2.5.4.5=42",
		}, nil},
		{"/CN= led and trailed ", []string{`CN=\ led and trailed\ `}, []string{"CN=led and trailed"}},
	} {
		t.Run(tt.subject, func(t *testing.T) {
			file := filepath.Join(folder, "one.pem")
			openssl(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8", "-subj", tt.subject,
				"-keyout", filepath.Join(folder, "one.key"), "-out", file)
			printed := string(openssl(t, "x509", "-in", file, "-noout", "-subject", "-nameopt", "RFC2253"))
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			block, _ := pem.Decode(text)
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			subject := certificate.RawSubject
			for _, text := range append(tt.others, printed[len("subject="):len(printed)-1]) {
				if !sameName(subject, text) {
					t.Errorf("it is %q, and not %q", printed, text)
				}
			}
			for _, text := range tt.not {
				if sameName(subject, text) {
					t.Errorf("it is %q, and %q", printed, text)
				}
			}
		})
	}
}

// sameName reports whether a subject in DER is the name that text is of.
func sameName(subject []byte, text string) bool {
	got, read := auth.ReadDistinguishedName(subject)
	want, parsed := auth.ParseDistinguishedName(text)
	return read && parsed && got.Equal(want)
}

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	printed, err := exec.CommandContext(t.Context(), "openssl", args...).Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return printed
}

// FuzzDistinguishedName reads names that anybody may have written. However a name is printed or escaped, it is that name.
func FuzzDistinguishedName(f *testing.F) {
	for _, text := range []string{"CN=orders,O=Example", `CN=a\,b+UID=\20x`, "2.5.4.3=#0c0161", `DC=a,DC=b\\`, `CN=\`, "=", "CN=a+,"} {
		f.Add(text, "value", text)
	}
	f.Fuzz(func(t *testing.T, text, value, other string) {
		name, ok := auth.ParseDistinguishedName(text)
		if second, okToo := auth.ParseDistinguishedName(other); ok && okToo && name.Equal(second) != second.Equal(name) {
			t.Error("same is not symmetric")
		}
		subject := pkix.Name{CommonName: value, Organization: []string{other}}.ToRDNSequence()
		der, err := asn1.Marshal(subject)
		if err != nil || value == "" { // no UTF-8, or no CN
			return
		}
		escaped := ""
		for _, letter := range []byte(value) {
			escaped += fmt.Sprintf(`\%02x`, letter)
		}
		for _, same := range []string{subject.String(), "cn=" + escaped + " , 2.5.4.10=#" + hexDER(t, other)} {
			if !sameName(der, same) {
				t.Errorf("%q is not the name of %q", same, value)
			}
		}
		if sameName(der, "CN="+escaped) || sameName(der, "CN="+escaped+`\20,O=#`+hexDER(t, other)) {
			t.Errorf("another name is that of %q", value)
		}
	})
}

func hexDER(t *testing.T, text string) string {
	t.Helper()
	der, err := asn1.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(der)
}

// A name that no certificate can have is refused when it is registered.
func TestRegisteredDistinguishedName(t *testing.T) {
	for text, good := range map[string]bool{
		"CN=orders,O=Example": true, "DC=example,DC=com": true, "1.2.3.4=a": true, "CN=#0c0161": true,
		"orders": false, "Nonsense=a": false, `CN=a\`: false, "CN=a,": false, "CN=#02": false, "=": false,
	} {
		c := auth.Client{Name: "orders", Status: auth.Active, AuthMethod: auth.TLSClientAuth}
		c.Proofs.Certificate = &auth.CertificateName{Field: auth.SubjectDN, Value: text}
		err := c.Validate()
		if refused := fault.From(err); good && err != nil || !good && (refused == nil || refused.Code != fault.InvalidRequest || refused.Field != "tls_client_auth_subject_dn") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzSubject reads subjects of certificates that anybody may have made.
func FuzzSubject(f *testing.F) {
	der, err := asn1.Marshal(pkix.Name{CommonName: "orders", Organization: []string{"Example"}}.ToRDNSequence())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der, "CN=orders,O=Example")
	f.Fuzz(func(_ *testing.T, der []byte, text string) { _ = sameName(der, text) })
}
