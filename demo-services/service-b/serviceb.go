// Package serviceb is the demo's inventory service: a service that is called, as a user of the SDK would write it. Every route says what
// it asks of the caller's token; the SDK checks it, from memory, the token store or by introspection, and refuses what was taken back.
package serviceb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
)

// Config is what the service is told. Records, Tracers and Meters may be left out.
type Config struct {
	Issuer   string         // URL of the authorization server
	Audience string         // identifier of the API that this service serves
	ClientID string         // of this service, which the issuer lists as a server of the API
	Auth     sdk.ClientAuth // such as sdk.SecretFile

	Records sdk.RecordReader // the issuer's token store, such as sdkredis.Open; nil: the issuer is asked
	APIID   string           // of the API, under which the store keeps its tokens; with Records

	HTTP    *http.Client // carries requests to the issuer
	Log     *slog.Logger
	Tracers trace.TracerProvider // of spans around what the SDK looks up and asks the issuer
	Meters  metric.MeterProvider // of the SDK's metrics
}

// Service answers GET /inventory/items and POST /inventory/reservations. It is safe for concurrent use.
type Service struct {
	mux      *http.ServeMux
	verifier *sdk.Verifier
	stock    *stock
	log      *slog.Logger
}

// New returns the service. It does no I/O.
func New(c Config) (*Service, error) {
	options := []sdk.VerifierOption{sdk.WithCredentials(c.ClientID, c.Auth), sdk.WithHTTPClient(c.HTTP), sdk.WithLogger(c.Log)}
	if c.Tracers != nil {
		options = append(options, sdk.WithTracer(sdkotel.Tracer(c.Tracers)))
	}
	if c.Records != nil {
		options = append(options, sdk.WithTokenStore(c.Records, c.APIID))
	}
	verifier, err := sdk.NewVerifier(c.Issuer, c.Audience, options...)
	if err != nil {
		return nil, fmt.Errorf("make the verifier: %w", err)
	}
	if c.Meters != nil {
		if _, err := sdkotel.ObserveVerifier(c.Meters, verifier); err != nil {
			return nil, errors.Join(fmt.Errorf("observe the verifier: %w", err), verifier.Close())
		}
	}
	s := &Service{mux: http.NewServeMux(), verifier: verifier, stock: newStock(), log: c.Log}
	s.mux.Handle("GET /inventory/items", verifier.HandlerFunc(sdk.RequireScope("inventory:read"), s.list))
	s.mux.Handle("POST /inventory/reservations", verifier.HandlerFunc(sdk.RequireScope("inventory:write").Strict(), s.reserve))
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Ready returns nil once tokens can be judged.
func (s *Service) Ready(ctx context.Context) error { return s.verifier.Ready(ctx) } //nolint:wrapcheck // the SDK's errors speak for themselves

// Close ends what the SDK does in the background.
func (s *Service) Close() error { return s.verifier.Close() } //nolint:wrapcheck // the SDK's errors speak for themselves

func (s *Service) list(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]any{"items": s.stock.items()})
}

func (s *Service) reserve(w http.ResponseWriter, r *http.Request) {
	const most = 4 << 10
	var wanted struct {
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wanted); err != nil {
		problem(w, http.StatusBadRequest, `the body must be JSON such as {"item": "anvil", "quantity": 2}: `+err.Error())
		return
	}
	caller, _ := sdk.FromContext(r.Context())
	made, err := s.stock.reserve(caller.ClientID(), r.Header.Get("Idempotency-Key"), wanted.Item, wanted.Quantity)
	switch {
	case errors.Is(err, errUnknownItem):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, errQuantity), errors.Is(err, errKeyReused), errors.Is(err, errKeyLength):
		problem(w, http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, errTooFew):
		problem(w, http.StatusConflict, err.Error())
	case err != nil:
		s.log.ErrorContext(r.Context(), "reserve", "error", err)
		problem(w, http.StatusInternalServerError, "internal error")
	default:
		answer(w, http.StatusCreated, made)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller is gone
}

// problem writes an error in the form of RFC 9457.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}
