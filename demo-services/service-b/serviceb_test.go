package serviceb_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	serviceb "github.com/countersign/countersign/demo-services/service-b"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

const audience = "https://inventory.example.com"

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	issuer := sdktest.Start(t)
	service, err := serviceb.New(serviceb.Config{
		Issuer: issuer.URL(), Audience: audience, ClientID: issuer.ClientID(), Auth: sdk.Secret(issuer.ClientSecret()), HTTP: issuer.Client(),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	if err := service.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader, writer := issuer.Token(audience, "inventory:read"), issuer.Token(audience, "inventory:write")
	const items, reservations, tongs = "/inventory/items", "/inventory/reservations", `{"item": "tongs", "quantity": 3}`
	for _, tt := range []struct {
		name, method, path, token, body string
		status                          int
		says                            string
	}{
		{"reads", http.MethodGet, items, reader, "", 200, `"item":"tongs","available":12`},
		{"reserves", http.MethodPost, reservations, writer, tongs, 201, `"left":9`},
		{"has no token", http.MethodGet, items, "", "", 401, ""},
		{"has one for another service", http.MethodGet, items, issuer.Token("https://elsewhere.example.com", "inventory:read"), "", 401, ""},
		{"may not read", http.MethodGet, items, writer, "", 403, ""},
		{"may not write", http.MethodPost, reservations, reader, tongs, 403, ""},
		{"wants too many", http.MethodPost, reservations, writer, `{"item": "tongs", "quantity": 30}`, 409, "9 of"},
		{"wants what there is not", http.MethodPost, reservations, writer, `{"item": "hammer", "quantity": 1}`, 404, "anvil"},
		{"wants nothing", http.MethodPost, reservations, writer, `{"item": "tongs"}`, 422, "quantity"},
		{"sends no JSON", http.MethodPost, reservations, writer, "item=tongs", 400, "JSON"},
		{"sends an unknown field", http.MethodPost, reservations, writer, `{"item": "tongs", "count": 3}`, 400, "count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			if tt.token != "" {
				request.Header.Set("Authorization", "Bearer "+tt.token)
			}
			answer := httptest.NewRecorder()
			service.ServeHTTP(answer, request)
			if answer.Code != tt.status || !strings.Contains(answer.Body.String(), tt.says) {
				t.Errorf("%d %s, want %d with %q", answer.Code, answer.Body, tt.status, tt.says)
			}
		})
	}
}
