package gateway_test

import (
	"testing"

	"github.com/countersign/countersign/gateway"
)

func TestHeadersThatImpersonate(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Client-Id": true, "x-client-id": true, "X_Client_Id": true, "X-Client_Id": true, "X.Client.Id": true, "x_CLIENT-iD": true,
		"X-Client-Subject": true, "X-Client-Scope": true, "X-Client-Issuer": true, "X-Token-Id": true, "X_token_id": true,
		"X-Client-Version": false, "X-Client-Ids": false, "X-Client": false, "Client-Id": false, "": false, "X": false, "XxClient-Id": false,
		"Authorization": false,
	} {
		if got := gateway.Impersonates(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]bool{
		good:                   true,
		"01" + good[2:]:        true,
		"01" + good[2:] + "-x": true,
		good + "-x":            false,
		"01" + good[2:] + "x":  false,
		"ff" + good[2:]:        false,
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-":   false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g": false,
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"":  false,
		"x": false,
	} {
		if got := gateway.IsTraceParent(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
