package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/registry"
)

// matches says which preconditions an operation needs (RFC 9110 §13.1).
type matches int

const (
	matchNone     matches = iota // takes none
	matchChange                  // If-Match
	matchReplaced                // If-Match, or If-None-Match: * to create only
)

// read returns the states that a request allows, any of which will do: fault.PreconditionRequired if it must name one and does not.
func (m matches) read(h http.Header) ([]registry.Match, error) {
	if m == matchNone {
		return []registry.Match{registry.Any}, nil
	}
	ifMatch, ifNone := h["If-Match"], h["If-None-Match"]
	switch {
	case len(ifMatch) > 0 && len(ifNone) > 0:
		return nil, fault.New(fault.InvalidRequest, "send either If-Match or If-None-Match").At("If-None-Match")
	case len(ifNone) > 0 && (m != matchReplaced || strings.Join(ifNone, ",") != "*"):
		return nil, fault.New(fault.InvalidRequest, "* is allowed, where a resource can be created").At("If-None-Match")
	case len(ifNone) > 0:
		return []registry.Match{registry.Absent}, nil
	case len(ifMatch) > 0:
		return parseMatch(strings.Join(ifMatch, ","))
	case m == matchReplaced:
		return nil, fault.New(fault.PreconditionRequired,
			"send If-Match with the ETag that was read, If-Match: * to replace whatever is there, or If-None-Match: * to create").At("If-Match")
	}
	return nil, fault.New(fault.PreconditionRequired, "send If-Match with the ETag that was read, or If-Match: * to force the change").At("If-Match")
}

// etag is the entity tag of a revision (RFC 9110 §8.8.3).
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// maxTags bounds the list of If-Match: each is tried.
const maxTags = 8

// parseMatch reads the value of If-Match: * or a list of entity tags. A weak tag, or one that this API did not make, matches nothing.
func parseMatch(text string) ([]registry.Match, error) {
	if text == "*" {
		return []registry.Match{registry.Exists}, nil
	}
	var found []registry.Match
	tags := 0
	for rest := strings.Trim(text, " \t,"); rest != ""; tags++ {
		tag, after, ok := cutTag(rest)
		if !ok || tags == maxTags {
			return nil, fault.New(fault.InvalidRequest, `must be * or up to 8 entity tags such as "3", in their quotes`).At("If-Match")
		}
		revision, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
		if err == nil && revision > 0 && etag(revision) == tag {
			found = append(found, registry.Match(revision))
		}
		rest = after
	}
	if len(found) == 0 && tags > 0 {
		return nil, fault.New(fault.PreconditionFailed, "no tag is one that this resource can have").At("If-Match")
	}
	if len(found) == 0 {
		return nil, fault.New(fault.InvalidRequest, "must be * or entity tags").At("If-Match")
	}
	return found, nil
}

// cutTag splits the first entity tag, with its quotes and what makes it weak, from a list (RFC 9110 §5.6.1, §8.8.3).
func cutTag(list string) (tag, after string, ok bool) {
	opaque := strings.TrimPrefix(list, "W/")
	if !strings.HasPrefix(opaque, `"`) {
		return "", "", false
	}
	end := strings.IndexByte(opaque[1:], '"')
	if end < 0 || strings.ContainsFunc(opaque[1:1+end], notTag) {
		return "", "", false
	}
	size := len(list) - len(opaque) + end + len(`""`)
	after = strings.TrimLeft(list[size:], " \t")
	if after != "" && after[0] != ',' {
		return "", "", false
	}
	return list[:size], strings.TrimLeft(after, " \t,"), true
}

// notTag reports what an entity tag does not hold (etagc of RFC 9110 §8.8.3).
func notTag(c rune) bool { return c < '!' || c == 0x7f }
