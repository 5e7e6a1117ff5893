package feed

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// answer is the feed's JSON. docs/revocation-feed.md describes every member; sdk/testdata/feed.json holds golden vectors.
type answer struct {
	Generation string  `json:"generation"` // text, since not every JSON reader keeps 64 bits
	Sequence   uint64  `json:"seq"`
	Age        *int64  `json:"age_ms,omitempty"` // not in a stream, which never renews a lease
	Snapshot   bool    `json:"snapshot,omitempty"`
	Entries    []entry `json:"entries"`
}

// entry is a revocation. Its members are named for the claims that they are compared with.
type entry struct {
	Sequence   uint64 `json:"seq"`
	Kind       string `json:"kind"`
	Token      string `json:"jti,omitempty"`
	Client     string `json:"client_id,omitempty"`
	API        string `json:"api_id,omitempty"` // that of aud, for those who know tokens by it
	Audience   string `json:"aud,omitempty"`
	Credential string `json:"cs_sec,omitempty"`
	Key        string `json:"kid,omitempty"`
	Expires    int64  `json:"exp"` // seconds since 1970, from which the entry can match no living token
}

func newAnswer(changes []auth.Change, at auth.Position) *answer {
	a := &answer{
		Generation: strconv.FormatUint(at.Generation, 10), Sequence: at.Sequence, Entries: make([]entry, len(changes)),
	}
	for i := range changes {
		a.Entries[i] = newEntry(&changes[i])
	}
	return a
}

func newEntry(c *auth.Change) entry {
	e := entry{Sequence: c.Sequence, Expires: c.NeededUntil().Unix()}
	switch c.Kind {
	case auth.RevokeToken:
		e.Kind, e.Token = "token", auth.TokenID(c.Subject).String()
	case auth.RevokeClient:
		e.Kind, e.Client = "client", auth.ClientID(c.Subject).String()
	case auth.RevokeGrant:
		e.Kind, e.Client, e.API, e.Audience = "grant", auth.ClientID(c.Subject).String(), auth.APIID(c.Object).String(), c.Audience
	case auth.RevokeAPI:
		e.Kind, e.API, e.Audience = "api", auth.APIID(c.Subject).String(), c.Audience
	case auth.RevokeCredential:
		e.Kind, e.Credential = "credential", auth.SecretID(c.Subject).String()
	case auth.RevokeKey:
		e.Kind, e.Key = "key", auth.KeyID(c.Subject).String()
	case auth.RevokeAll:
		e.Kind = "all"
	case auth.ClientChanged, auth.APIChanged, auth.KeysChanged, auth.SealedKeyChanged, auth.IssuerChanged:
	}
	return e
}

// cursor is how far a reader has come.
type cursor struct{ generation, sequence uint64 }

func (a *answer) cursor() string { return a.Generation + "." + strconv.FormatUint(a.Sequence, 10) }

// cursorOf returns the cursor that the request names, or nil for none. A stream that was resumed by its Last-Event-ID is
// further than its address says.
func cursorOf(r *http.Request) (*cursor, error) {
	texts := r.Header.Values("Last-Event-ID")
	if len(texts) == 0 || !accepts(r.Header, eventStream) {
		texts = r.URL.Query()["after"]
	}
	if len(texts) == 0 || len(texts) == 1 && texts[0] == "" {
		return nil, nil
	}
	if len(texts) == 1 {
		if c := parseCursor(texts[0]); c != nil {
			return c, nil
		}
	}
	return nil, fault.New(fault.InvalidRequest, "a cursor is the generation, a dot and the sequence of an earlier answer").At("after")
}

func parseCursor(text string) *cursor {
	generation, sequence, _ := strings.Cut(text, ".")
	g, err := strconv.ParseUint(generation, 10, 64)
	if err != nil {
		return nil
	}
	s, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return nil
	}
	return &cursor{g, s}
}
