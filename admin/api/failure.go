package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/registry"
)

// failure carries an error of an operation through huma, to refuse.
type failure struct{ error }

// GetStatus implements huma.StatusError.
func (f *failure) GetStatus() int { return httpx.Status(fault.From(f.error).Code) }

// Unwrap returns the error.
func (f *failure) Unwrap() error { return f.error }

// transform is a huma.Transformer: what is answered passes here last. An error, huma's own or one of an operation, is written as any other of
// this listener; nothing that huma would write follows.
func (s *service) transform(ctx huma.Context, _ string, body any) (any, error) {
	problem, ok := body.(huma.StatusError)
	if !ok {
		return body, nil
	}
	x, ok := ctx.(*exchange)
	if !ok {
		return nil, fmt.Errorf("answer %T: not one of this router", ctx)
	}
	c := from(x.Context())
	var err error
	switch problem := problem.(type) {
	case *failure:
		err = pointed(problem.error, ctx.Operation(), s.huma.OpenAPI())
	case *huma.ErrorModel:
		err = invalid(problem, c.body)
	default:
		err = problem
	}
	httpx.Fail(x.answer, x.request, err, s.write)
	x.refused = true
	return nil, nil //nolint:nilnil // huma would encode it only to throw it away: each mistake with all that stands around it
}

// maxViolations bounds how many mistakes of a request are pointed at.
const maxViolations = 100

// invalid is what huma found wrong with a request.
func invalid(found *huma.ErrorModel, body []byte) error {
	why := fault.New(fault.InvalidRequest, found.Detail)
	if found.Status == http.StatusUnsupportedMediaType {
		why = fault.New(fault.UnsupportedMedia, found.Detail)
	}
	var value any
	_ = decode(body, &value) // of what is no JSON, the place is the whole
	for i, e := range found.Errors[:min(len(found.Errors), maxViolations)] {
		place, rest, _ := strings.Cut(e.Location, ".")
		field := rest
		switch place {
		case "path":
			return fault.New(fault.NotFound, "there is no such resource: the id in the path is malformed").At(rest)
		case "body":
			v := violation(e, value)
			why.Violations = append(why.Violations, v)
			field = fieldOf(v.Pointer)
		}
		if i == 0 {
			why.Detail, why.Field = e.Message, field
		}
	}
	if more := len(found.Errors) - 1; more > 0 {
		why.Detail += fmt.Sprintf(" (the first of %d errors)", more+1)
	}
	return why
}

// violation says which member of the body is at fault. One that is missing is named too.
func violation(e *huma.ErrorDetail, body any) fault.Violation {
	at := pointer(strings.TrimPrefix(strings.TrimPrefix(e.Location, "body"), "."), body)
	before, behind, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	if name, ok := strings.CutPrefix(e.Message, before); ok && strings.HasSuffix(name, behind) {
		return fault.Violation{Pointer: at + "/" + escape(strings.TrimSuffix(name, behind)), Detail: "is missing"}
	}
	return fault.Violation{Pointer: at, Detail: e.Message}
}

// fieldOf is the member that a pointer begins with.
func fieldOf(pointer string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(pointer, "#/"), "/")
	return strings.TrimPrefix(first, "#")
}

// pointed names the member of the body that an operation's error is about, where it is one.
func pointed(err error, op *huma.Operation, document *huma.OpenAPI) error {
	if wrong, ok := errors.AsType[*registry.DocumentError](err); ok {
		return declared(wrong)
	}
	found := fault.From(err)
	if found.Field == "" || len(found.Violations) > 0 || op.RequestBody == nil {
		return err
	}
	why := *found
	if why.Field == "token_lifetime" { // of the domain, where it is no number of seconds
		why.Field += "_seconds"
	}
	schema := bodySchema(op, document)
	if schema == nil || schema.Properties[why.Field] == nil {
		return err
	}
	why.Violations = []fault.Violation{{Pointer: "#/" + escape(why.Field), Detail: why.Detail}}
	why.Err = err
	return &why
}

// declared points into the document of an apply call.
func declared(wrong *registry.DocumentError) error {
	why := *fault.From(wrong)
	why.Field, why.Err, why.Violations = "document", wrong, nil
	for _, w := range wrong.Wrong {
		why.Violations = append(why.Violations, fault.Violation{Pointer: "#/document" + w.Pointer, Detail: w.Detail})
	}
	return &why
}

// pointer turns a place as huma names it, such as scopes[1].name, into a JSON pointer (RFC 6901 §6). Since a member's name may
// hold dots and brackets itself, the body says how to read it.
func pointer(place string, value any) string {
	var out strings.Builder
	out.WriteByte('#')
	for place != "" {
		token, rest := step(place, value)
		out.WriteString("/" + escape(token))
		switch v := value.(type) {
		case map[string]any:
			value = v[token]
		case []any:
			value = nil
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(v) {
				value = v[i]
			}
		default:
			value = nil
		}
		place = rest
	}
	return out.String()
}

// step cuts the first part of a place: the longest that names a member of value, or what stands before the next dot or bracket.
func step(place string, value any) (token, rest string) {
	if index, after, ok := strings.Cut(strings.TrimPrefix(place, "["), "]"); ok && place[0] == '[' {
		return index, strings.TrimPrefix(after, ".")
	}
	members, _ := value.(map[string]any)
	for end := len(place); end > 0; end-- {
		if _, ok := members[place[:end]]; ok && (end == len(place) || place[end] == '.' || place[end] == '[') {
			return place[:end], strings.TrimPrefix(place[end:], ".")
		}
	}
	end := strings.IndexAny(place[1:], ".[") + 1
	if end == 0 {
		return place, ""
	}
	return place[:end], strings.TrimPrefix(place[end:], ".")
}

// escape writes a token of a JSON pointer as a URI fragment does.
func escape(token string) string {
	token = strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
	var b strings.Builder
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
