package remotekeys_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/remotekeys"
)

func TestCheckInline(t *testing.T) {
	const private = `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",`
	for _, tt := range []struct {
		name, set, want string // empty: accepted
		kind            remotekeys.Kind
	}{
		{name: "a key", set: document("a")},
		{name: "a key that is used, and one that is not", set: `{"keys":[` + key("a", "") + "," + key("b", `"use":"enc",`) + `]}`},
		{name: "bundle", kind: remotekeys.Bundle, set: `{"keys":[` + key("a", `"use":"jwt-svid",`) + `]}`},
		{name: "private", set: `{"keys":[` + key("a", "") + "," + key("b", private) + `]}`, want: "private"},
		{name: "private in a bundle", kind: remotekeys.Bundle, set: `{"keys":[` + key("a", `"use":"jwt-svid",`+private) + `]}`, want: "private"},
		{name: "shared", set: `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, want: "private or secret"},
		{name: "for encryption alone", set: `{"keys":[` + key("b", `"use":"enc",`) + `]}`, want: `kid "b"`},
		{name: "bundle for X.509 alone", kind: remotekeys.Bundle, set: `{"keys":[` + key("a", `"use":"x509-svid",`) + `]}`, want: "jwt-svid"},
		{name: "no key", set: document(), want: "no key"},
		{name: "no set", set: "{}", want: "JWK set"},
		{name: "no bundle", kind: remotekeys.Bundle, set: "{}", want: "trust bundle"},
		{name: "nothing", want: "JWK set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := remotekeys.CheckInline(tt.kind, tt.set)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, fault.InvalidRequest) || !strings.Contains(fault.From(err).Detail, tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "nWGxne") || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("the key is in %v", err)
			}
		})
	}
}
