package sharing

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// maxSkew is how far the clocks of instances may be apart.
	maxSkew     = time.Minute
	maxLifetime = 10 * 365 * 24 * time.Hour
	maxRecord   = 64 << 10
)

// errRecord: the store holds something that is no token of ours.
var errRecord = errors.New("record of shared token")

// record is a token in the store, with the times of the writer's clock in milliseconds of Unix.
type record struct {
	AccessToken string   `json:"access_token"`
	Type        string   `json:"token_type"`
	Scopes      []string `json:"scope,omitempty"`
	Began       int64    `json:"began"`
	Expires     int64    `json:"expires"`
}

func encode(t *Token) ([]byte, error) {
	r := record{
		AccessToken: t.AccessToken, Type: t.Type, Scopes: t.Scopes,
		Began: t.Began.UnixMilli(), Expires: t.Began.Add(t.Lifetime).UnixMilli(),
	}
	plain, err := json.Marshal(r) //nolint:gosec // G117: it is sealed before it goes anywhere
	if err == nil && len(plain) > maxRecord {
		err = errors.New("the token is too large to be shared")
	}
	return plain, err
}

// decode reads a record at the time of now. Began comes out in terms of this clock: if the writer's is ahead, the token counts as new.
func decode(plain []byte, now time.Time) (*Token, error) {
	if len(plain) > maxRecord {
		return nil, fmt.Errorf("%w: it is too large", errRecord)
	}
	var r record
	if err := json.Unmarshal(plain, &r); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON of ours", errRecord) // the cause could quote the token
	}
	const longest = int64(maxLifetime / time.Millisecond)
	age := now.UnixMilli() - r.Began
	switch {
	case r.AccessToken == "" || strings.ContainsFunc(r.AccessToken, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, fmt.Errorf("%w: it holds no token", errRecord)
	case r.Began <= 0 || r.Expires <= r.Began || r.Expires-r.Began > longest || age > longest:
		return nil, fmt.Errorf("%w: its times are absurd", errRecord)
	case age < -maxSkew.Milliseconds():
		return nil, fmt.Errorf("%w: it is from the future; the clocks of the instances differ", errRecord)
	}
	return &Token{
		AccessToken: r.AccessToken, Type: r.Type, Scopes: r.Scopes,
		Began:    now.Add(-time.Duration(max(age, 0)) * time.Millisecond),
		Lifetime: time.Duration(r.Expires-r.Began) * time.Millisecond,
	}, nil
}
