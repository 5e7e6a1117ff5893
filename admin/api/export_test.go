package api

import (
	"net/http"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// What the fuzz tests look at.

// ParseMatch reads an If-Match header.
func ParseMatch(text string) ([]registry.Match, error) {
	return matchChange.read(http.Header{"If-Match": {text}})
}

// ETag writes one.
func ETag(revision int64) string { return etag(revision) }

// Merge is the merge patch of any JSON.
func Merge(is any, patch []byte) (any, error) { return merged(is, patch) }

// Decode is how bodies are read.
func Decode(data []byte, v any) error { return decode(data, v) }

// Place reads the cursor of a request.
func Place(url, cursor string) (*auth.Place, error) {
	p := Paging{Limit: 1, Cursor: cursor}
	return p.place(&call{url: url})
}

// NextCursor returns the cursor behind an item.
func NextCursor(url string, at auth.Place) string {
	items := []auth.Place{at, {}}
	return listed(&call{url: url}, Paging{Limit: 1}, items, func(auth.Place) string { return "" }, func(p auth.Place) cursor {
		return cursor{Key: p.Key, ID: p.ID[:], Second: p.Second[:]}
	}).Body.NextCursor
}

// Pointer reads a place as huma names it.
func Pointer(place string, body []byte) string {
	var value any
	_ = decode(body, &value)
	return pointer(place, value)
}
