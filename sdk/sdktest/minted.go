package sdktest

import (
	"encoding/json"
	"slices"
	"time"
)

// minted is a token that the issuer gave out, as its claims say once they were JSON.
type minted struct {
	claims   map[string]json.RawMessage
	id       string
	client   string
	audience []string
	secret   string // the id of the credential
	key      string // that signed it; empty if none did
	revision uint64
	expires  time.Time
	// ancestors are those that it was made from by exchange. They have neither claims nor expires.
	ancestors []*minted
}

// remember keeps what introspection has to say of a token. Claims that are not of the right type are as good as absent, and a payload
// that is no JSON object makes a token that nobody knows.
func (i *Issuer) remember(token, key string, payload []byte) {
	m := &minted{key: key}
	if json.Unmarshal(payload, &m.claims) != nil || m.claims == nil {
		return
	}
	m.readNames()
	var ancestors []map[string]json.RawMessage
	read(m, "cs_anc", &ancestors)
	for _, claims := range ancestors {
		a := &minted{claims: claims}
		a.readNames()
		read(a, "kid", &a.key)
		m.ancestors = append(m.ancestors, a)
	}
	var seconds float64
	read(m, "exp", &seconds)
	m.expires = time.Unix(0, int64(seconds*float64(time.Second)))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens[token] = m
	if key == "" && i.storeKey != nil {
		i.recorded[recordKey(token, m.audience[0])] = token
	}
}

// readNames reads what revocations name a token by.
func (m *minted) readNames() {
	read(m, "jti", &m.id)
	read(m, "client_id", &m.client)
	read(m, "cs_sec", &m.secret)
	read(m, "cs_rev", &m.revision)
	if !read(m, "aud", &m.audience) || len(m.audience) == 0 {
		m.audience = make([]string, 1)
		read(m, "aud", &m.audience[0])
	}
}

func read(m *minted, name string, to any) bool { return json.Unmarshal(m.claims[name], to) == nil }

// active tells whether the token is good now. The caller holds mu.
func (i *Issuer) active(m *minted) bool {
	return m != nil && time.Now().Before(m.expires) &&
		!slices.ContainsFunc(i.log.entries, func(e Entry) bool { return e.refuses(m) || slices.ContainsFunc(m.ancestors, e.refuses) })
}
