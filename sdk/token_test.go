package sdk_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Attack 37: no secret in logs.
func TestToken_IsNeverPrinted(t *testing.T) {
	client := newClient(t, sdktest.New(sdktest.WithOpaqueTokens()), nil)
	source := client.TokenSource(warehouse)
	token := tokenOf(t, source)
	inside := struct {
		Name    string
		Exp     sdk.Token
		unexp   sdk.Token
		Pointer *sdk.Token
		ptr     *sdk.Token
	}{"x", *token, *token, token, token}

	printed := map[string]string{}
	for what, value := range map[string]any{
		"value": *token, "pointer": token, "field": inside, "field behind pointer": &inside, "slice": []sdk.Token{*token},
		"pointers": []*sdk.Token{token}, "map": map[string]sdk.Token{"a": *token}, "source": source, "client": client,
		"state": client.Describe(),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
			printed[what+" "+verb] = fmt.Sprintf(strings.Replace(verb, "%T ", "", 1), value)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", value)
		printed[what+" slog"] = log.String()
		if text, err := json.Marshal(value); err == nil {
			printed[what+" json"] = string(text)
		}
		if text, err := xml.Marshal(value); err == nil {
			printed[what+" xml"] = string(text)
		}
	}
	secret := token.AccessToken()
	for way, text := range printed {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, fmt.Sprintf("%X", secret)) {
			t.Errorf("%s prints the token: %s", way, text)
		}
	}
	for _, way := range []string{"value %v", "pointer %+v", "value %#v", "pointer json", "value json", "slice %s"} {
		if !strings.Contains(printed[way], "[redacted]") {
			t.Errorf("%s: %s, want [redacted]", way, printed[way])
		}
	}
}

func TestToken_SetAuthHeader(t *testing.T) {
	token := tokenOf(t, newClient(t, sdktest.New(), nil).TokenSource(warehouse))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Basic eDp5")
	token.SetAuthHeader(r)
	if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] != "Bearer "+token.AccessToken() {
		t.Errorf("header %d values", len(got))
	}
}

func TestToken_ZeroValue(t *testing.T) {
	var token sdk.Token
	r := httptest.NewRequest("GET", "/", nil)
	token.SetAuthHeader(r)
	if token.AccessToken() != "" || !token.Expires().IsZero() || len(token.Scopes()) != 0 {
		t.Error("the zero value is some token")
	}
}

func TestTokenSource_DoesNotAllocate(t *testing.T) {
	source := newClient(t, sdktest.New(), nil).TokenSource(warehouse)
	tokenOf(t, source)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = source.Token(ctx) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkTokenSource_Token(b *testing.B) {
	for _, tt := range []struct {
		name     string
		parallel int
	}{
		{"a goroutine per processor", 1},
		{"8 goroutines per processor", 8},
	} {
		b.Run(tt.name, func(b *testing.B) {
			source := newClient(b, sdktest.New(), nil).TokenSource(warehouse)
			tokenOf(b, source)
			b.ReportAllocs()
			b.SetParallelism(tt.parallel)
			ctx := b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := source.Token(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
