package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

// example returns an example of what a schema describes, in the order of the members of its Go type, or nil.
func example(document *huma.OpenAPI, schema *huma.Schema) any {
	if schema == nil || schema.Ref == "" {
		return nil
	}
	value := reflect.New(document.Components.Schemas.TypeFromRef(schema.Ref))
	fill(value.Elem(), "")
	text, err := json.Marshal(value.Interface())
	if err != nil {
		return nil
	}
	return json.RawMessage(text)
}

// fill sets v, which is what a member of this name holds, to something that reads well. Fields say it by their tags example, enum and default;
// for others it follows from their name or type.
func fill(v reflect.Value, member string) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(exampleTime(member)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"before":{"status":"active"},"after":{"status":"disabled"}}`))
		return
	}
	if keySet, is := reflect.TypeAssert[*map[string]any](v.Addr()); is {
		*keySet = map[string]any{"keys": []any{map[string]any{
			"kty": "EC", "crv": "P-256", "kid": "orders-1", "x": "YLl19cP2w7CRqP3zX9hEukKKFZSkCFRJZXNBzDYT9vw", "y": "khJHaH0_HyrO2QOso92-7Iu33fJolhoh_EjZwYHeQbc",
		}}}
		return
	}
	switch v.Kind() { //nolint:exhaustive // what package wire has
	case reflect.Struct:
		for field, inside := range v.Fields() {
			fillField(field, inside)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), member)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), member)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		item := reflect.New(v.Type().Elem()).Elem()
		fill(item, member)
		v.SetMapIndex(reflect.ValueOf("tier"), item)
	case reflect.String:
		v.SetString(exampleText(member))
	case reflect.Int, reflect.Int64:
		v.SetInt(exampleNumber(member))
	case reflect.Uint64:
		v.SetUint(4711)
	case reflect.Bool:
		v.SetBool(member == "revoked_tokens_exact" || member == "ok" || member == "safe_to_delete" || member == "allowed")
	}
}

func fillField(field reflect.StructField, v reflect.Value) {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	given := field.Tag.Get("example")
	if given == "" {
		given, _, _ = strings.Cut(field.Tag.Get("enum"), ",")
	}
	if given == "" {
		given = field.Tag.Get("default")
	}
	switch {
	case name == "-":
	case given != "" && v.Kind() == reflect.String:
		v.SetString(given)
	case given != "" && v.CanInt():
		number, _ := strconv.ParseInt(given, 10, 64) // a tag of ours, which a test reads
		v.SetInt(number)
	default:
		fill(v, name)
	}
}

func exampleTime(member string) time.Time {
	at := time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)
	if strings.Contains(member, "expires") || strings.Contains(member, "safe") || strings.Contains(member, "active_at") {
		return at.AddDate(0, 3, 0)
	}
	return at
}

func exampleNumber(member string) int64 {
	switch member {
	case "token_lifetime_seconds", "max_lifetime_seconds":
		return 3600
	case "overlap_seconds":
		return 86400
	case "days":
		return 90
	case "issued_tokens", "events", "count":
		return 1234
	case "status":
		return http.StatusConflict
	}
	return 3
}

func exampleText(member string) string {
	if id, ok := ids()[member]; ok {
		return id.example
	}
	for name, text := range map[string]string{ //nolint:gosec // G101: nobody's
		"servers": exampleClient, "disabled_secrets": exampleSecret, "target": exampleClient, "created_by": exampleSecret,
		"scopes": "inventory:read", "scope": "inventory:read", "name": "orders", "identifier": "https://inventory.example",
		"default_resource": "https://inventory.example", "api": "https://inventory.example", "owner": "team-payments", "labels": "1",
		"description": "takes orders", "hint": "k3Xw", "client_secret": "cs_secret_…", "last_used_from": "192.0.2.17", "source": "192.0.2.17",
		"value": "cs_secret_…shown-this-once", "request_id": "4VQ7MPK2XHZ3YTRD6NSJWAFLBC", "chain": "mS4c0…", "seal": "7hZb2…", "digest": "Zk19…",
		"next_cursor": "eyJxIjoi…", "token_endpoint_auth_method": "client_secret_basic", "token_format": "jwt", "signing_algorithm": "ES256", "alg": "ES256",
		"safe_to_delete_reason": "it is disabled", "reasons": "the grant of orders on https://inventory.example holds inventory:read",
		"what": "the event was changed", "before": "inventory:read", "after": "inventory:read inventory:write", "pointer": "#/name",
		"detail": "another client has this name", "jwks_uri": "https://orders.example/jwks.json", "jwks_thumbprints": "HeXENftXqPHXPPwdc1HKuiAwIncitqbA1urnSmiA3vM",
		"path": "sub", "equals": "system:serviceaccount:shop:orders", "prefix": "system:serviceaccount:shop:", "audience": "https://auth.example",
		"algorithms": "RS256", "needs": "orders:read", "may_act": exampleClient, "tls_client_auth_subject_dn": "CN=orders,O=Example",
		"tls_client_auth_san_dns": "orders.example", "tls_client_auth_san_uri": "spiffe://example.org/orders", "tls_client_auth_san_ip": "192.0.2.17",
		"tls_client_auth_san_email": "orders@example.org", "issuer": exampleIssuer,
	} {
		if name == member {
			return text
		}
	}
	return "…"
}

// exampleProblem is the document of a refusal.
func exampleProblem(status int) any {
	p := wire.Problem{Status: status, Request: exampleText("request_id")}
	for _, known := range []struct {
		code          fault.Code
		detail, field string
	}{
		{fault.InvalidRequest, "is missing", "name"},
		{fault.InvalidToken, "the access token is expired, revoked, malformed or not for this server", ""},
		{fault.InsufficientScope, "the access token does not hold the scope clients:write", "clients:write"},
		{fault.NotFound, "there is no such client", ""},
		{fault.Conflict, "another client has this name", "name"},
		{fault.PreconditionFailed, "it was changed meanwhile; read it again", "If-Match"},
		{fault.TooLarge, "the body may have at most 65536 bytes", ""},
		{fault.UnsupportedMedia, "the Content-Type must be application/json", "Content-Type"},
		{fault.Mismatch, "this Idempotency-Key was used for a request with another body", "Idempotency-Key"},
		{fault.PreconditionRequired, "send If-Match with the ETag that was read, or If-Match: * to force the change", "If-Match"},
		{fault.Unavailable, "the database does not answer", ""},
	} {
		if httpx.Status(known.code) == status {
			p.Type, p.Code, p.Title = httpx.DefaultDocs+"#"+string(known.code), string(known.code), http.StatusText(status)
			p.Detail, p.Field = known.detail, known.field
		}
	}
	if p.Field == "name" {
		p.Errors = []wire.ProblemError{{Pointer: "#/name", Detail: p.Detail}}
	}
	return p
}
