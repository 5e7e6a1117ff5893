package remotekeys_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/remotekeys"
)

func TestCheckBundle(t *testing.T) {
	svid := key("a", `"use":"jwt-svid",`)
	for _, tt := range []struct{ name, bundle, want string }{ // want empty: accepted
		{name: "a key", bundle: `{"keys":[` + svid + `]}`},
		{name: "a key, and one for X.509", bundle: `{"keys":[` + key("b", `"use":"x509-svid",`) + "," + svid + `]}`},
		{name: "for X.509 alone", bundle: `{"keys":[` + key("a", `"use":"x509-svid",`) + `]}`, want: "jwt-svid"},
		{name: "without kid", bundle: `{"keys":[` + key("", `"use":"jwt-svid",`) + `]}`, want: "jwt-svid"},
		{name: "for no use", bundle: document("a"), want: "jwt-svid"},
		{name: "no key", bundle: document(), want: "jwt-svid"},
		{name: "101 keys", bundle: `{"keys":[` + strings.Repeat(svid+",", 100) + svid + `]}`, want: "100 keys"},
		{name: "no bundle", bundle: "{}", want: "trust bundle"},
		{name: "nothing", want: "trust bundle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := remotekeys.CheckBundle(tt.bundle)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, fault.InvalidRequest) || !strings.Contains(fault.From(err).Detail, tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
