// Package servicea is the demo's order service: a service that calls another one, as a user of the SDK would write it. It keeps nothing
// itself. What can be ordered, and whether an order stands, the inventory service knows (package serviceb), which lets in only who
// bears a token of its API.
package servicea

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
)

// Config is what the service is told. Tracers and Meters may be left out.
type Config struct {
	Issuer    string         // URL of the authorization server
	ClientID  string         // of this service
	Auth      sdk.ClientAuth // such as sdk.SecretFile
	Resource  string         // identifier of the inventory's API: the audience of the tokens
	Inventory string         // where the inventory is reached, such as http://127.0.0.1:8080/inventory

	HTTP    *http.Client // carries requests to the issuer and to the inventory
	Log     *slog.Logger
	Tracers trace.TracerProvider // of spans around what the SDK asks the issuer
	Meters  metric.MeterProvider // of the SDK's metrics
}

// Service answers GET /orders and POST /orders. It is safe for concurrent use.
type Service struct {
	mux       *http.ServeMux
	log       *slog.Logger
	client    *sdk.Client
	inventory *http.Client // its requests bear a token
	address   string
}

// New returns the service. It does no I/O: the first order gets the first token.
func New(c Config) (*Service, error) {
	options := []sdk.ClientOption{sdk.WithHTTPClient(c.HTTP), sdk.WithLogger(c.Log)}
	if c.Tracers != nil {
		options = append(options, sdk.WithTracer(sdkotel.Tracer(c.Tracers)))
	}
	client, err := sdk.New(c.Issuer, c.ClientID, c.Auth, options...)
	if err != nil {
		return nil, fmt.Errorf("make the client of the authorization server: %w", err)
	}
	if c.Meters != nil {
		if _, err := sdkotel.ObserveClient(c.Meters, client); err != nil {
			return nil, errors.Join(fmt.Errorf("observe the client: %w", err), client.Close())
		}
	}
	s := &Service{
		mux: http.NewServeMux(), log: c.Log, client: client, address: strings.TrimSuffix(c.Inventory, "/"),
		inventory: &http.Client{Transport: client.Transport(c.HTTP.Transport, c.Resource, "inventory:read", "inventory:write")},
	}
	s.mux.HandleFunc("GET /orders", s.list)
	s.mux.HandleFunc("POST /orders", s.place)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends what the SDK does in the background.
func (s *Service) Close() error { return s.client.Close() } //nolint:wrapcheck // the SDK's errors speak for themselves

// list tells what can be ordered.
func (s *Service) list(w http.ResponseWriter, r *http.Request) {
	s.ask(w, r, call{method: http.MethodGet, path: "/items"})
}

// order is what is asked for; the inventory says what is wrong with it.
type order struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

// place orders something: it is reserved, or there is no order.
func (s *Service) place(w http.ResponseWriter, r *http.Request) {
	const most = 4 << 10
	var wanted order
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wanted); err != nil {
		problem(w, http.StatusBadRequest, `The body must be JSON such as {"item": "anvil", "quantity": 2}: `+reason(err))
		return
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.ask(w, r, call{method: http.MethodPost, path: "/reservations", body: body, key: rand.Text()})
}

// reason says what is wrong with a body, in words of JSON rather than of Go.
func reason(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return cmp.Or(wrong.Field, "it") + " is of the wrong kind: " + wrong.Value
	}
	if errors.Is(err, io.EOF) {
		return "it is empty"
	}
	return err.Error()
}

// call is a request to the inventory. Its key makes it one and the same reservation however often it is sent.
type call struct {
	method, path, key string
	body              []byte
}

// ask passes on what the inventory answers.
func (s *Service) ask(w http.ResponseWriter, r *http.Request, c call) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	answer, err := s.send(ctx, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden {
		// It is this service that may not, not the user.
		s.fail(w, r, fmt.Errorf("the inventory answered %s: %s", answer.Status, answer.Header.Get("WWW-Authenticate")))
		return
	}
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if value := answer.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the user is gone, or the inventory: too late to say so
}

// send asks up to three times if nobody answered, or somebody on the way who could not reach the inventory.
func (s *Service) send(ctx context.Context, c call) (*http.Response, error) {
	const tries, pause = 3, 50 * time.Millisecond
	for try := 1; ; try++ {
		request, err := http.NewRequestWithContext(ctx, c.method, s.address+c.path, bytes.NewReader(c.body))
		if err != nil {
			return nil, fmt.Errorf("ask the inventory: %w", err)
		}
		if c.key != "" {
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Idempotency-Key", c.key)
		}
		answer, err := s.inventory.Do(request)
		if errors.Is(err, sdk.ErrNoToken) {
			return nil, fmt.Errorf("ask the inventory: %w", err) // the SDK has tried already
		}
		again := err != nil || answer.StatusCode == http.StatusBadGateway || answer.StatusCode == http.StatusGatewayTimeout
		if !again || try == tries || ctx.Err() != nil {
			if err != nil {
				err = fmt.Errorf("ask the inventory: %w", err)
			}
			return answer, err
		}
		if err == nil {
			_ = answer.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * pause):
		}
	}
}

// fail answers a request that this service cannot serve now. Why is for the log.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "order service", "error", err)
	w.Header().Set("Retry-After", "1")
	problem(w, http.StatusServiceUnavailable, "The inventory cannot be asked now.")
}

// problem writes an error in the form of RFC 9457.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}
