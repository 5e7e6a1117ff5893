package sdktest_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/record"
	"github.com/countersign/countersign/sdk/sdktest"
)

// TestRecords reads a record by the SDK's own reader, which passes the golden vectors.
func TestRecords(t *testing.T) {
	const audience = "https://inventory.test"
	i := sdktest.New(sdktest.WithOpaqueTokens(), sdktest.WithTokenStore())
	i.Skip(7)
	token := i.Token(audience, "read", "write")
	reader, err := record.NewReader(i.URL(), audience, sdktest.APIID(audience))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(token))
	found, err := i.Records().Read(t.Context(), reader.Key(hash))
	if err != nil || found == nil {
		t.Fatalf("there is no record under %s: %v", reader.Key(hash), err)
	}
	claims, err := reader.Open(found, hash, func(version uint32) ed25519.PublicKey { return storeKey(t, i, version) }, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if claims.ClientID != i.ClientID() || claims.Credential != i.Credential(i.ClientID()) || claims.Scope != "read write" ||
		claims.TokenID != token[6:28] || claims.Revision != 7 || claims.Expires.Sub(claims.Issued) != time.Hour {
		t.Errorf("the record says %+v", claims)
	}
	if found, err := i.Records().Read(t.Context(), "cst:{x}:y"); found != nil || err != nil {
		t.Errorf("under another key there is %x, %v", found, err)
	}
}

func storeKey(t *testing.T, i *sdktest.Issuer, version uint32) ed25519.PublicKey {
	_, body, _ := do(t, i, http.MethodGet, i.URL()+"/.well-known/oauth-authorization-server", nil)
	var metadata struct {
		Keys []struct {
			Version uint32 `json:"version"`
			Key     string `json:"key"`
		} `json:"countersign_token_store_keys"`
	}
	if err := json.Unmarshal([]byte(body), &metadata); err != nil {
		t.Fatal(err)
	}
	if len(metadata.Keys) != 1 || metadata.Keys[0].Version != version {
		t.Fatalf("the metadata has the store keys %+v, not version %d", metadata.Keys, version)
	}
	key, err := base64.RawURLEncoding.DecodeString(metadata.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTokensWithoutRecord(t *testing.T) {
	i := sdktest.New(sdktest.WithTokenStore())
	for name, token := range map[string]string{
		"unknown":           "x",
		"JWT":               i.Token("https://api.test"),
		"an id of its own":  i.MintOpaque(sdktest.Claims{TokenID: "t1"}),
		"a name for client": i.MintOpaque(sdktest.Claims{ClientID: "orders"}),
	} {
		if _, _, err := i.Record(token); err == nil {
			t.Errorf("%s: there is a record", name)
		}
	}
	other := sdktest.New()
	if _, _, err := other.Record(other.MintOpaque(sdktest.Claims{})); err == nil {
		t.Error("an issuer without a token store has a record")
	}
}
