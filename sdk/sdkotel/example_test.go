package sdkotel_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A client and a verifier that are traced and measured. The providers are those of the service; here they keep what they are told.
func Example() {
	ctx := context.Background()
	kept, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	spans := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
	meters := metric.NewMeterProvider(metric.WithReader(reader))

	issuer := sdktest.New()
	defer issuer.Close()
	tracer, carrier := sdk.WithTracer(sdkotel.Tracer(spans)), sdk.WithHTTPClient(issuer.Client())
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), tracer, carrier)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	stop, err := sdkotel.ObserveClient(meters, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	for range 1000 {
		if _, err := client.TokenSource("https://inventory.example.com", "inventory:read").Token(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, span := range kept.GetSpans() {
		fmt.Println(span.Name, span.Attributes[0].Value.AsString())
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		fmt.Println(err)
		return
	}
	hits := collected.ScopeMetrics[0].Metrics[0]
	fmt.Println(hits.Name, hits.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
	// Output:
	// countersign.metadata ok
	// countersign.token ok
	// countersign.sdk.token.hits 999
}

// The called side: what it does to check tokens is traced, and how it is gets measured.
func ExampleObserveVerifier() {
	issuer := sdktest.New()
	defer issuer.Close()
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())) // in production one that exports
	spans := sdktrace.NewTracerProvider()

	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com", sdk.WithHTTPClient(issuer.Client()),
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithTracer(sdkotel.Tracer(spans)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	stop, err := sdkotel.ObserveVerifier(meters, verifier)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	// Output:
}
