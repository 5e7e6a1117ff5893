package sdkotel_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
	"github.com/countersign/countersign/sdk/sdktest"
)

const audience = "https://api.test"

func newProvider() (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), spans
}

func TestTracer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outcome sdk.Outcome
		want    []attribute.KeyValue
		status  sdktrace.Status
		events  int
	}{
		{
			name: "ok", outcome: sdk.Outcome{Result: "ok"},
			want: []attribute.KeyValue{attribute.String("countersign.result", "ok")},
		},
		{
			name: "a token with an id", outcome: sdk.Outcome{Result: "hit", TokenID: "tok_1"},
			want: []attribute.KeyValue{attribute.String("countersign.result", "hit"), attribute.String("countersign.token_id", "tok_1")},
		},
		{
			name: "failed", outcome: sdk.Outcome{Result: "unavailable", Err: errors.New("no answer")},
			want:   []attribute.KeyValue{attribute.String("countersign.result", "unavailable")},
			status: sdktrace.Status{Code: codes.Error, Description: "no answer"}, events: 1,
		},
		{
			name: "refused", outcome: sdk.Outcome{Result: "refused"},
			want:   []attribute.KeyValue{attribute.String("countersign.result", "refused")},
			status: sdktrace.Status{Code: codes.Error, Description: "refused"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			provider, spans := newProvider()
			outer, parent := provider.Tracer("test").Start(t.Context(), "parent")
			ctx, end := sdkotel.Tracer(provider).Start(outer, sdk.OperationKeys)
			if len(spans.Ended()) != 0 {
				t.Error("the span ended before the operation")
			}
			end(tt.outcome)
			if len(spans.Ended()) != 1 {
				t.Fatalf("%d spans", len(spans.Ended()))
			}
			span := spans.Ended()[0]
			if span.Name() != "countersign.jwks" || span.SpanKind() != trace.SpanKindClient {
				t.Errorf("name %q, kind %s", span.Name(), span.SpanKind())
			}
			if !span.Parent().Equal(parent.SpanContext()) || !trace.SpanContextFromContext(ctx).Equal(span.SpanContext()) {
				t.Error("it is neither below the caller's span nor above the operation's")
			}
			if !slices.Equal(span.Attributes(), tt.want) || span.Status() != tt.status || len(span.Events()) != tt.events {
				t.Errorf("attributes %v, status %v, events %v", span.Attributes(), span.Status(), span.Events())
			}
		})
	}
}

// seen is a transport that notes in which span each request was made.
type seen struct {
	next http.RoundTripper
	mu   sync.Mutex
	in   map[trace.SpanID]string // path
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.in[trace.SpanContextFromContext(r.Context()).SpanID()] = r.URL.Path
	s.mu.Unlock()
	return s.next.RoundTrip(r)
}

// Requests are made in the span of their operation, so that a transport that propagates the trace finds it.
func TestTracer_Requests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		provider, spans := newProvider()
		carrier := &seen{next: issuer.RoundTripper(), in: map[trace.SpanID]string{}}
		client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()),
			sdk.WithHTTPClient(&http.Client{Transport: carrier}), sdk.WithTracer(sdkotel.Tracer(provider)))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for range 3 {
			if _, err := client.TokenSource(audience).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, span := range spans.Ended() {
			got = append(got, span.Name()+" "+carrier.in[span.SpanContext().SpanID()])
		}
		want := []string{"countersign.metadata /.well-known/oauth-authorization-server", "countersign.token /oauth2/token"}
		if !slices.Equal(got, want) {
			t.Errorf("spans %q", got)
		}
	})
}

// What goes wrong is told without what is secret (attack 37).
func TestTracer_NoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		defer issuer.Close()
		provider, spans := newProvider()
		tracer := sdk.WithTracer(sdkotel.Tracer(provider))
		client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()), tracer)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		verifier, err := sdk.NewVerifier(issuer.URL(), audience, sdk.WithHTTPClient(issuer.Client()), tracer,
			sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
		if err != nil {
			t.Fatal(err)
		}
		defer verifier.Close()

		secrets := []string{issuer.ClientSecret()}
		for _, broken := range []http.Handler{nil, &sdktest.Failure{Status: http.StatusBadRequest}, http.HandlerFunc(echo)} {
			token := issuer.MintOpaque(sdktest.Claims{Audience: []string{audience}})
			secrets = append(secrets, token)
			issuer.Replace(sdktest.TokenEndpoint, broken)
			issuer.Replace(sdktest.IntrospectionEndpoint, broken)
			_, _ = verifier.Verify(t.Context(), token, sdk.Policy{})
			if got, err := client.TokenSource(audience, fmt.Sprint("scope", len(secrets))).Token(t.Context()); err == nil {
				secrets = append(secrets, got.AccessToken())
			}
		}
		_ = client.Revoke(t.Context(), secrets[1])

		results := map[string]bool{}
		for _, span := range spans.Ended() {
			text := fmt.Sprint(span.Name(), span.Attributes(), span.Status(), span.Events())
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("a secret is in %s", text)
				}
			}
			for _, a := range span.Attributes() {
				results[span.Name()+" "+a.Value.AsString()] = true
			}
		}
		for _, want := range []string{
			"countersign.token ok", "countersign.token refused", "countersign.token unavailable",
			"countersign.introspect ok", "countersign.introspect refused", "countersign.introspect unavailable", "countersign.revoke ok",
		} {
			if !results[want] {
				t.Errorf("no span %s among %v", want, results)
			}
		}
	})
}

// echo breaks down, and tells the world with which request.
func echo(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	w.WriteHeader(http.StatusBadGateway)
	fmt.Fprint(w, r.Header, r.Form)
}
