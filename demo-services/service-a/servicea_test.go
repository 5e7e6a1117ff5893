package servicea_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	servicea "github.com/countersign/countersign/demo-services/service-a"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// inventory stands in for service B: it answers what the test tells it, one status after the other, and keeps what came.
type inventory struct {
	*httptest.Server

	mu       sync.Mutex
	statuses []int
	asked    []*http.Request
}

func startInventory(t *testing.T, statuses ...int) *inventory {
	i := &inventory{statuses: statuses}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked = append(i.asked, r)
		status := i.statuses[min(len(i.asked), len(i.statuses))-1]
		w.WriteHeader(status)
		_, _ = io.WriteString(w, http.StatusText(status))
	}))
	t.Cleanup(i.Close)
	return i
}

func start(t *testing.T, address string) *servicea.Service {
	t.Helper()
	issuer := sdktest.Start(t)
	service, err := servicea.New(servicea.Config{
		Issuer: issuer.URL(), ClientID: issuer.ClientID(), Auth: sdk.Secret(issuer.ClientSecret()), HTTP: issuer.Client(),
		Resource: "https://inventory.example.com", Inventory: address, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	return service
}

func order(t *testing.T, service *servicea.Service, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	service.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body)))
	return answer
}

const anvil = `{"item": "anvil", "quantity": 1}`

func TestAnOrderIsOneReservationHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	called := startInventory(t, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusCreated)
	if answer := order(t, start(t, called.URL), anvil); answer.Code != http.StatusCreated {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	keys := map[string]bool{}
	for _, r := range called.asked {
		keys[r.Header.Get("Idempotency-Key")] = true
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			t.Errorf("no token: %v", r.Header)
		}
	}
	if len(called.asked) != 3 || len(keys) != 1 || keys[""] {
		t.Errorf("%d requests with the keys %v, want 3 with one", len(called.asked), keys)
	}
}

func TestWhatTheUserIsTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		statuses []int
		body     string
		status   int
	}{
		{"too few are there", []int{http.StatusConflict}, anvil, http.StatusConflict},
		{"the inventory is down", []int{http.StatusServiceUnavailable}, anvil, http.StatusServiceUnavailable},
		{"nobody reaches the inventory", []int{http.StatusBadGateway}, anvil, http.StatusBadGateway},
		{"the service may not order", []int{http.StatusForbidden}, anvil, http.StatusServiceUnavailable}, // not the user's fault
		{"no JSON", []int{http.StatusCreated}, "anvil", http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if answer := order(t, start(t, startInventory(t, tt.statuses...).URL), tt.body); answer.Code != tt.status {
				t.Errorf("%d %s, want %d", answer.Code, answer.Body, tt.status)
			}
		})
	}
	for body, want := range map[string]string{
		"":                 "it is empty",
		"[]":               "it is of the wrong kind: array",
		`{"quantity":1.5}`: "quantity is of the wrong kind: number 1.5",
		`{"colour":"red"}`: `unknown field "colour"`,
	} {
		answer := order(t, start(t, "http://127.0.0.1"), body)
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%q: %d %s, want %q", body, answer.Code, answer.Body, want)
		}
	}
	t.Run("there is no inventory", func(t *testing.T) {
		t.Parallel()
		called := startInventory(t, http.StatusCreated)
		called.Close()
		if answer := order(t, start(t, called.URL), anvil); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v", answer.Code, answer.Header())
		}
	})
}
