package redisstore

import "github.com/countersign/countersign/server/auth"

// Binding is what a record vouches for.
type Binding struct {
	Issuer, Audience string
	API              auth.APIID
	Key              auth.TokenKey
}

func (b Binding) inner() *binding { return &binding{b.Issuer, b.Audience, b.API, b.Key} }

// Encode writes a record.
func Encode(b Binding, t *auth.Token, keys *Keys, direct bool) []byte {
	return encode(b.inner(), t, keys, direct)
}

// Decode reads a record.
func Decode(b Binding, record []byte, keys *Keys) (*auth.Token, error) {
	return decode(b.inner(), record, keys)
}

// RedisKey is where a record lies.
func RedisKey(api auth.APIID, key auth.TokenKey) string { return redisKey(api, key) }
