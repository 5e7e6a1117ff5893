package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Paging is what every list takes.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"Where the page begins: next_cursor of the page before, with the same filters and order."`
}

// page is a page of a list.
type page[T any] struct {
	Link string `header:"Link" doc:"The address of the next page, rel=\"next\" (RFC 8288); absent on the last."`
	Body wire.List[T]
}

// cursor is where a page ended. Query keeps it from being used for another list.
type cursor struct {
	Query  []byte `json:"q"`
	Key    string `json:"k,omitempty"`
	ID     []byte `json:"i,omitempty"`
	Second []byte `json:"s,omitempty"`
	Third  []byte `json:"t,omitempty"`
	Number uint64 `json:"n,omitempty"`
}

// hash stands for a list: its path, filters and order. How long a page is may change on the way.
func hash(requested string) []byte {
	u, err := url.ParseRequestURI(requested)
	if err != nil {
		return nil
	}
	query := u.Query()
	query.Del("cursor")
	query.Del("limit")
	sum := sha256.Sum256([]byte(u.EscapedPath() + "?" + query.Encode()))
	const enough = 12
	return sum[:enough]
}

// parse returns the cursor that a caller sent; nil: the first page.
func (p *Paging) parse(c *call) (*cursor, error) {
	if p.Cursor == "" {
		return nil, nil //nolint:nilnil // the first page has none
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	var at cursor
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil || string(at.Query) != string(hash(c.url)) || at.Number > math.MaxInt64 {
		return nil, fault.Wrap(fault.InvalidRequest, "is not one of this list, with these filters and this order; begin anew without it", err).At("cursor")
	}
	return &at, nil
}

// place returns where to go on; nil: at the beginning.
func (p *Paging) place(c *call) (*auth.Place, error) {
	at, err := p.parse(c)
	if err != nil || at == nil {
		return nil, err
	}
	place := &auth.Place{Key: at.Key}
	if copy(place.ID[:], at.ID) != len(at.ID) || copy(place.Second[:], at.Second) != len(at.Second) {
		return nil, fault.New(fault.InvalidRequest, "is not one of this list; begin anew without it").At("cursor")
	}
	return place, nil
}

// listed is the answer of a list. found has one item more than a page if there is a further page; end says where an item lies.
func listed[F, T any](c *call, p Paging, found []F, show func(F) T, end func(F) cursor) *page[T] {
	out := &page[T]{}
	more := len(found) > p.Limit
	if more {
		found = found[:p.Limit]
	}
	out.Body.Items = make([]T, len(found))
	for i, item := range found {
		out.Body.Items[i] = show(item)
	}
	if more {
		at := end(found[len(found)-1])
		at.Query = hash(c.url)
		text, _ := json.Marshal(at) // never fails: text and numbers
		out.Body.NextCursor = base64.RawURLEncoding.EncodeToString(text)
		out.Link = next(c.url, out.Body.NextCursor)
	}
	return out
}

func next(requested, cursor string) string {
	u, err := url.ParseRequestURI(requested)
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Set("cursor", cursor)
	return "<" + u.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

// after returns the part of a short list, in order of id, that begins behind a place.
func after[F any](found []F, at *auth.Place, id func(F) [16]byte) []F {
	if at == nil {
		return found
	}
	for i, item := range found {
		if lies := id(item); string(lies[:]) > string(at.ID[:]) {
			return found[i:]
		}
	}
	return nil
}

// nobody reports whether text is the id that nothing has: as a filter it would not select nothing but everything.
func nobody(text string) bool {
	_, digits, _ := strings.Cut(text, "_")
	return len(digits) == 22 && strings.Trim(digits, "0") == ""
}

// checkQuery returns fault.InvalidRequest for a query that one reader takes for this and another for that.
func checkQuery(r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Wrap(fault.InvalidRequest, "the query is not form-url-encoded", err)
	}
	for name, given := range values {
		if len(given) > 1 {
			return fault.New(fault.InvalidRequest, "is there more than once").At(name)
		}
		if name != "cursor" && nobody(given[0]) {
			return fault.New(fault.InvalidRequest, "is the id of nothing").At(name)
		}
	}
	return nil
}
