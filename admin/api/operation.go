package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

// operation describes a route. What follows from its method is not said again.
type operation struct {
	id, method, path string
	tag              string
	summary, about   string
	// scopes are what the access token must hold: all of one of these sets. The registry is what looks at it.
	scopes [][]string
	status int   // of success; 0: 200, or 204 where nothing is answered
	put    bool  // 201 too
	reads  bool  // a POST that changes nothing, and so takes no Idempotency-Key
	stream bool  // of JSON lines
	faults codes // beyond those that every operation has
	body   bool
	sent   any // an example of the body; nil: one that follows from its type
	matches
	maxBody  int64         // bytes; 0: maxBody
	patience time.Duration // how long the answer may take; 0: as long as any
}

type codes []fault.Code

// metadata is where huma's description of an operation keeps ours.
const metadata = "operation"

// needs is the scopes of an operation that needs all of them.
func needs(scopes ...string) [][]string { return [][]string{scopes} }

// add makes op a route. handle is told nothing but decoded values, and whatever it returns as an error is written by the one table of httpx.
func add[I, O any](s *service, op operation, handle func(context.Context, *I) (*O, error)) {
	described := op.describe()
	huma.Register(s.huma, described, func(ctx context.Context, in *I) (*O, error) {
		out, err := attempt(ctx, in, handle)
		if err != nil {
			return nil, &failure{err}
		}
		from(ctx).replayed()
		return out, nil
	})
	if op.stream {
		answers := s.huma.OpenAPI().Paths[op.path].Get.Responses
		answers["200"].Content = map[string]*huma.MediaType{linesType: {Schema: &huma.Schema{Type: huma.TypeString, Description: "One Event a line."}}}
	}
	if op.put {
		answers := s.huma.OpenAPI().Paths[op.path].Put.Responses
		created := *answers["200"]
		created.Description, created.Headers = "It was not there, and is now.", maps.Clone(created.Headers)
		answers["200"].Description = "It is replaced."
		answers["201"] = &created
	}
}

// attempt tries the states that the request allows one by one: each attempt is one transaction, which finds the resource in that state
// or changes nothing.
func attempt[I, O any](ctx context.Context, in *I, handle func(context.Context, *I) (*O, error)) (out *O, err error) {
	c := from(ctx)
	for _, c.match = range c.matches {
		if out, err = handle(ctx, in); !errors.Is(err, fault.PreconditionFailed) {
			break
		}
	}
	return out, err
}

func (op *operation) describe() huma.Operation {
	h := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{op.tag}, Summary: op.summary, Description: op.about,
		DefaultStatus: op.status, Metadata: map[string]any{metadata: op}, MaxBodyBytes: -1, // the router reads the body
		Responses: map[string]*huma.Response{"default": {Ref: "#/components/responses/Failed"}},
	}
	for _, scopes := range op.scopes {
		h.Security = append(h.Security, map[string][]string{securityScheme: scopes})
	}
	for _, code := range op.codes() {
		h.Responses[strconv.Itoa(httpx.Status(code))] = &huma.Response{Ref: "#/components/responses/" + responseName(httpx.Status(code))}
	}
	h.Parameters = op.parameters()
	return h
}

// codes are what op can be refused with.
func (op *operation) codes() codes {
	all := codes{fault.InvalidRequest, fault.InvalidToken, fault.InsufficientScope}
	if op.body {
		all = append(all, fault.TooLarge, fault.UnsupportedMedia)
	}
	if op.repeatable() {
		all = append(all, fault.Conflict)
		if op.body {
			all = append(all, fault.Mismatch)
		}
	}
	if op.matches != 0 {
		all = append(all, fault.PreconditionFailed, fault.PreconditionRequired)
	}
	return append(all, op.faults...)
}

// repeatable reports whether op takes an Idempotency-Key.
func (op *operation) repeatable() bool { return op.method == http.MethodPost && !op.reads }

// problems are the refusals of the OpenAPI document, by status.
func problems() map[int]string {
	return map[int]string{
		http.StatusBadRequest:            "A parameter, a header or the body is not as described. `errors` points at members of the body.",
		http.StatusUnauthorized:          "There is no access token, or it is expired, revoked, malformed or not for this API.",
		http.StatusForbidden:             "The access token lacks a scope, which `field` names; or the caller would reach beyond what it may itself.",
		http.StatusNotFound:              "There is no such resource.",
		http.StatusConflict:              "The change does not fit what is there, or a request with this Idempotency-Key is under way.",
		http.StatusPreconditionFailed:    "The resource is not in the state that If-Match or If-None-Match names.",
		http.StatusRequestEntityTooLarge: "The body is too large.",
		http.StatusUnsupportedMediaType:  "The body is not declared as JSON.",
		http.StatusUnprocessableEntity:   "The Idempotency-Key was used for a request with another body.",
		http.StatusPreconditionRequired:  "The change needs If-Match: with the ETag of what was read, or * to force it.",
	}
}

func responseName(status int) string {
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// responses are the ones that operations share.
func responses(problem *huma.Schema) map[string]*huma.Response {
	content := func(status int) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/problem+json": {Schema: problem, Example: exampleProblem(status)}}
	}
	shared := map[string]*huma.Response{"Failed": {
		Description: "The server cannot answer: 503 says when to try again, by Retry-After; 500 is a defect, to be found in the log by `request_id`.",
		Content:     content(http.StatusServiceUnavailable),
	}}
	known := problems()
	for _, status := range slices.Sorted(maps.Keys(known)) {
		r := &huma.Response{Description: known[status], Content: content(status)}
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			r.Headers = map[string]*huma.Param{"WWW-Authenticate": {
				Description: "The challenge of RFC 6750, section 3.", Schema: &huma.Schema{Type: huma.TypeString},
			}}
		}
		shared[responseName(status)] = r
	}
	return shared
}
