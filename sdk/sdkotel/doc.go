// Package sdkotel tells OpenTelemetry what the SDK does: spans of what takes time, by [Tracer], and figures that are read when metrics are
// collected, by [ObserveClient] and [ObserveVerifier]. Neither adds anything to the path of a token that is at hand.
//
// # Spans
//
// There is a span of kind client for every exchange with the authorization server, its retries included, but for the polls of the
// revocation feed, and for every look-up in a shared store. It is named after the operation, such as "countersign.introspect" (the
// Operation constants of package sdk), and has these attributes:
//
//   - countersign.result: how it ended, in a word, such as ok, refused, unavailable, hit or miss
//   - countersign.token_id: the token's jti, where it is known
//
// No span holds a token or a secret.
//
// # The issuer's part of a trace
//
// The context of a span is that of the requests made in it. For the trace to go on at the authorization server (W3C Trace Context, the
// header traceparent), give the SDK a client whose transport adds the header, such as that of otelhttp, which is a module of its own:
//
//	carrier := &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport,
//		otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}))}
//	client, err := sdk.New(issuer, clientID, auth, sdk.WithTracer(sdkotel.Tracer(provider)), sdk.WithHTTPClient(carrier))
//
// Each attempt is then a span of its own below that of the operation, and the polls of the revocation feed, several a second with a bound
// of one second, are spans, too: otelhttp.WithFilter leaves out what nobody will look at.
//
// # Metrics
//
// Of a client, with the attributes countersign.issuer and countersign.client_id, and countersign.resource and countersign.scope of the
// token source:
//
//	countersign.sdk.token.hits               calls answered with the token at hand
//	countersign.sdk.token.refreshes          attempts to get a token, by countersign.result: ok, failed
//	countersign.sdk.token.forced_refreshes   replacements of a token that a resource refused
//	countersign.sdk.token.time_to_expiry     seconds; 0: it has expired; absent: there was none yet
//
// Of a verifier, with the attributes countersign.issuer and countersign.audience:
//
//	countersign.sdk.verifications            by countersign.result: ok, invalid_token, insufficient_scope, forbidden, unavailable;
//	                                         and by countersign.answer: memory, or checked if there was more to do
//	countersign.sdk.checks                   what had to be done for them, by countersign.check: signature, token_store, introspection
//	countersign.sdk.cache.entries            tokens that are remembered
//	countersign.sdk.cache.limit              tokens that there is room for
//	countersign.sdk.cache.evictions          tokens that had to make room before they expired
//	countersign.sdk.keys.held                keys of the issuer
//	countersign.sdk.keys.age                 seconds since they were asked for
//	countersign.sdk.keys.fetches             by countersign.result: ok, failed
//	countersign.sdk.revocation.lease         seconds for which strict routes go by memory; 0: they introspect
//	countersign.sdk.revocation.age           seconds since the revocations were last known to be all; absent: they never were
//	countersign.sdk.revocation.entries       revocations that are held, by countersign.kind
//	countersign.sdk.revocation.polls         by countersign.result: ok, failed
//	countersign.sdk.revocation.connected     1 while a stream of the feed is open, else 0
//	countersign.sdk.revocation.streams       streams that were opened
//	countersign.sdk.revocation.events        events that came by them
//	countersign.sdk.token_store.lookups      by countersign.result: hit, miss, invalid, failed, skipped
//
// Those of the revocation feed are absent if there is none, or it is not followed ([sdk.WithoutRevocation]), those of the token store if
// there is none.
package sdkotel
