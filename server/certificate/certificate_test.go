package certificate

import (
	"testing"
)

func TestParseName(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"CN=orders,O=Example", "cn=orders, o=Example", true},
		{"CN=orders,O=Example", "2.5.4.3=orders,2.5.4.10=Example", true},
		{`CN=a\,b`, `CN=a\2cb`, true},
		{"CN=a+OU=b", "OU=b+CN=a", true},
		{"CN=orders,O=Example", "O=Example,CN=orders", false},
		{"CN=orders", "CN=Orders", false},
		{"CN=orders", "CN=orders,O=Example", false},
		{`CN=a\ `, "CN=a", false},
		{"CN=a", "CN=a ", true},
		{"orders", "orders", false},
		{`CN=a\`, `CN=a\`, false},
		{"", "", false},
	} {
		a, readA := parseName(tt.a)
		b, readB := parseName(tt.b)
		if same := readA && readB && equalNames(a, b); same != tt.same {
			t.Errorf("%q and %q: same is %v, want %v (%v, %v)", tt.a, tt.b, same, tt.same, a, b)
		}
	}
}
