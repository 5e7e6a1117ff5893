package sdk_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

func TestClient_Describe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithLifetime(100 * time.Second))
		client := newClient(t, issuer, nil)
		held := client.TokenSource(warehouse, "write", "read")
		token := tokenOf(t, held)
		tokenOf(t, held)
		issuer.Fail(sdktest.Failure{Status: http.StatusBadRequest, Code: "invalid_scope"}, sdktest.TokenEndpoint)
		if _, err := client.TokenSource("", "none").Token(t.Context()); err == nil {
			t.Fatal("a token against the issuer's will")
		}
		time.Sleep(85 * time.Second)
		tokenOf(t, held)
		synctest.Wait()

		state := client.Describe()
		if state.Issuer != issuer.URL() || state.ClientID != issuer.ClientID() || len(state.Sources) != 2 {
			t.Fatalf("state %+v", state)
		}
		none, stale := state.Sources[0], state.Sources[1]
		if none.State != "none" || none.Failures != 1 || !strings.Contains(none.LastError, "invalid_scope") || !none.Expires.IsZero() {
			t.Errorf("without a token: %+v", none)
		}
		if stale.State != "stale" || stale.Hits != 2 || stale.Refreshes != 1 || stale.Failures != 1 || !stale.Expires.Equal(token.Expires()) {
			t.Errorf("with a stale one: %+v", stale)
		}
		text, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"resource":"https://warehouse.test"`, `"scopes":["read","write"]`, `"state":"stale"`, `"hits":2`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is not in %s", want, text)
			}
		}
	})
}
