package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/internal/fault"
)

const (
	jsonType  = "application/json"
	patchType = "application/merge-patch+json" // RFC 7396

	maxBody = 64 << 10 // of a request, in bytes, unless its operation says otherwise
)

// readBody reads the whole body, as far as op takes one: of an allowed type and size.
func readBody(w http.ResponseWriter, r *http.Request, op *operation) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, op.limit()))
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.Wrap(fault.TooLarge, fmt.Sprintf("the body may have at most %d bytes", tooLong.Limit), err)
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body did not arrive in whole", err)
	}
	switch {
	case len(body) == 0:
		return nil, nil
	case !op.body:
		return nil, fault.New(fault.InvalidRequest, "this operation takes no body")
	}
	return body, op.checkType(r.Header)
}

// checkType returns fault.UnsupportedMedia for a body that is not declared as JSON.
func (op *operation) checkType(h http.Header) error {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, named := parameters["charset"]
	if err != nil || !slices.Contains(op.types(), kind) || named && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMedia, "the Content-Type must be "+strings.Join(op.types(), " or ")).At("Content-Type")
	}
	return nil
}

func (op *operation) types() []string {
	if op.method == http.MethodPatch {
		return []string{patchType, jsonType}
	}
	return []string{jsonType}
}

func (op *operation) limit() int64 {
	if op.maxBody > 0 {
		return op.maxBody
	}
	return maxBody
}

// formats are the ones of bodies, for huma: it looks for what follows a plus sign in a media type.
func formats() map[string]huma.Format {
	strict := huma.Format{Marshal: encode, Unmarshal: decode}
	return map[string]huma.Format{jsonType: strict, "json": strict}
}

func encode(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// maxValues bounds the JSON values of a body, as many as the largest configuration has: each costs far more than its bytes.
const maxValues = 700_000

// decode reads JSON in UTF-8 (RFC 8259 §8.1) in which no object names a member twice: of two, one reader takes the first and another
// the last.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("the body is not UTF-8")
	}
	if json.Valid(data) { // which bounds the depth, too
		left := maxValues
		if err := checkMembers(json.NewDecoder(bytes.NewReader(data)), &left); err != nil {
			return err
		}
	}
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s cannot be a JSON %s", wrong.Field, wrong.Value)
	}
	return err
}

// checkMembers reads one value, and takes it from how many are left. What is no JSON it leaves to others to complain of.
func checkMembers(d *json.Decoder, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("the body has more than %d values", maxValues)
	}
	token, err := d.Token()
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	delimiter, _ := token.(json.Delim)
	seen := map[string]bool{}
	for delimiter != 0 && d.More() {
		if delimiter == '{' {
			name, err := d.Token()
			text, ok := name.(string)
			if err != nil || !ok {
				return nil //nolint:nilerr // see above
			}
			if seen[text] {
				return fmt.Errorf("the member %q is there twice", text)
			}
			seen[text] = true
		}
		if err := checkMembers(d, left); err != nil {
			return err
		}
	}
	if delimiter != 0 {
		_, _ = d.Token() // its end
	}
	return nil
}
