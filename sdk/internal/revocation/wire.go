package revocation

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/countersign/countersign/sdk/strictjson"
)

// MaxAnswer is the length in bytes that an answer, or an event of a stream, may have. It is some 400,000 entries.
const MaxAnswer = 64 << 20

// answer is what the feed answers to a poll, or an event of a stream.
type answer struct {
	at       cursor
	age      time.Duration // how long before the poll the answering server's state was read; negative: it does not say
	snapshot bool
	entries  []entry
}

var (
	errTooLong   = errors.New("longer than 64 MiB")
	errMalformed = errors.New("malformed answer of the revocation feed")
)

// parseAnswer reads an answer strictly, but passes over members that it does not know. An entry that it cannot read is kept as one
// of ofUnknown, since the others are worth knowing all the same.
func parseAnswer(text []byte) (*answer, error) {
	if len(text) > MaxAnswer {
		return nil, fmt.Errorf("%w: %w", errMalformed, errTooLong)
	}
	a := &answer{age: -1}
	given := make(map[string]bool, 5)
	err := strictjson.Object(text, func(name string, v strictjson.Value) (err error) {
		given[name] = true
		switch name {
		case "generation":
			a.at.generation, err = v.String()
		case "seq":
			a.at.sequence, err = number(v)
		case "age_ms":
			a.age, err = milliseconds(v)
		case "snapshot":
			a.snapshot, err = v.Bool()
		case "entries":
			err = a.readEntries(v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	case !isGeneration(a.at.generation) || !given["seq"] || !given["entries"]:
		return nil, fmt.Errorf("%w: generation, seq or entries are missing", errMalformed)
	}
	for i := range a.entries {
		if a.entries[i].sequence > a.at.sequence {
			return nil, fmt.Errorf("%w: %w", errMalformed, errSequence)
		}
	}
	return a, nil
}

func (a *answer) readEntries(list strictjson.Value) error {
	return list.Array(func(v strictjson.Value) error {
		var w wireEntry
		if err := v.Object(w.read); err != nil {
			return err
		}
		if w.kind == "" || !w.counted {
			return errors.New("an entry without kind or seq")
		}
		a.entries = append(a.entries, w.entry())
		return nil
	})
}

// wireEntry is an entry as it is sent.
type wireEntry struct {
	kind       string
	counted    bool // has a sequence
	sequence   uint64
	expires    *int64
	token      string
	client     string
	audience   string
	credential string
	key        string
}

// read takes in a member. What a kind's own members look like is judged by entry, since another kind may use their names otherwise.
func (w *wireEntry) read(name string, v strictjson.Value) (err error) {
	switch name {
	case "kind":
		w.kind, err = v.String()
	case "seq":
		w.sequence, err = number(v)
		w.counted = true
	case "exp":
		if seconds, err := v.Int(); err == nil {
			w.expires = &seconds
		}
	case "jti":
		w.token, _ = v.String()
	case "client_id":
		w.client, _ = v.String()
	case "aud":
		w.audience, _ = v.String()
	case "cs_sec":
		w.credential, _ = v.String()
	case "kid":
		w.key, _ = v.String()
	}
	return err
}

// entry returns what w says. One that does not say when it may be forgotten never is.
func (w *wireEntry) entry() entry {
	e := entry{mark: mark{sequence: w.sequence, expires: math.MaxInt64}}
	if w.expires != nil {
		e.expires = *w.expires
	}
	readable := false
	switch w.kind {
	case "token":
		e.kind, e.key, readable = ofToken, key{one: w.token}, w.token != ""
	case "client":
		e.kind, e.key, readable = ofClient, key{one: w.client}, w.client != ""
	case "grant":
		e.kind, e.key, readable = ofGrant, key{w.client, w.audience}, w.client != "" && w.audience != ""
	case "api":
		e.kind, e.key, readable = ofAPI, key{one: w.audience}, w.audience != ""
	case "credential":
		e.kind, e.key, readable = ofCredential, key{one: w.credential}, w.credential != ""
	case "key":
		e.kind, e.key, readable = ofKey, key{one: w.key}, w.key != ""
	case "all":
		e.kind, readable = ofAll, true
	}
	if !readable {
		e.kind, e.key = ofUnknown, key{one: w.kind}
	}
	return e
}

// number reads a whole number of 64 bits.
func number(v strictjson.Value) (uint64, error) {
	n, err := strconv.ParseUint(string(v.Raw()), 10, 64)
	if err != nil {
		return 0, errors.New("not a whole number of 64 bits")
	}
	return n, nil
}

// maxAge stands for whatever is greater.
const maxAge = 10 * 365 * 24 * time.Hour

func milliseconds(v strictjson.Value) (time.Duration, error) {
	n, err := number(v)
	return time.Duration(min(n, uint64(maxAge/time.Millisecond))) * time.Millisecond, err
}

// isGeneration tells whether text is a number of 64 bits as it is written canonically.
func isGeneration(text string) bool {
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == text
}
