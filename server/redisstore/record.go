package redisstore

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// The record, byte by byte, is the subject of docs/token-store.md: change both or none.
const (
	recordVersion = 1
	domain        = "countersign token-store record v1\x00"

	atVersion    = 0
	atMACKey     = 1
	atSignKey    = 5
	atToken      = 9
	atClient     = 25
	atCredential = 41
	atRevision   = 57
	atIssued     = 65
	atExpires    = 73
	atScopeSize  = 81
	atScope      = 83
)

// errMiss says that a record is not one to go by. Why is nobody's concern: it counts as absent.
var errMiss = errors.New("the record is malformed, of another version, or not for this token, API and issuer")

// redisKey is where the record of a token for an API lies. The braces keep the records of an API in one slot of a cluster.
func redisKey(api auth.APIID, key auth.TokenKey) string {
	const hashLength = 43 // 32 bytes in base64url
	text := make([]byte, 0, len("cst:{}:")+len("api_")+22+hashLength)
	text = append(text, "cst:{"...)
	text = append(text, api.String()...)
	text = append(text, "}:"...)
	return string(base64.RawURLEncoding.AppendEncode(text, key[:]))
}

// binding is what a record vouches for without holding it.
type binding struct {
	issuer   string
	audience string
	api      auth.APIID
	key      auth.TokenKey
}

// message is what is authenticated: the binding, each part of fixed or stated length, and the record's body.
func (b *binding) message(body []byte) []byte {
	m := make([]byte, 0, len(domain)+2+len(b.issuer)+2+len(b.audience)+len(b.api)+len(b.key)+len(body))
	m = append(m, domain...)
	m = binary.BigEndian.AppendUint16(m, uint16(len(b.issuer))) //nolint:gosec // New bounds the issuer
	m = append(m, b.issuer...)
	m = binary.BigEndian.AppendUint16(m, uint16(len(b.audience))) //nolint:gosec // bound checks the audience
	m = append(m, b.audience...)
	m = append(m, b.api[:]...)
	m = append(m, b.key[:]...)
	return append(m, body...)
}

// encode writes the record of t, signed too if direct is set. It returns nil for a token that cannot be recorded.
func encode(b *binding, t *auth.Token, keys *Keys, direct bool) []byte {
	signKey := keys.signVersion
	if !direct {
		signKey = 0
	}
	// A record has no room for what a token is bound to or was made from: verifiers ask the server about such a token.
	if t.Confirmation.Bound() || !t.Lineage.Empty() {
		return nil
	}
	if keys.macVersion == 0 || direct && signKey == 0 || len(t.Scope) > math.MaxUint16 {
		return nil
	}
	body := make([]byte, atScope, atScope+len(t.Scope)+sha256.Size+ed25519.SignatureSize)
	body[atVersion] = recordVersion
	binary.BigEndian.PutUint32(body[atMACKey:], keys.macVersion)
	binary.BigEndian.PutUint32(body[atSignKey:], signKey)
	copy(body[atToken:], t.ID[:])
	copy(body[atClient:], t.Client[:])
	copy(body[atCredential:], t.Credential[:])
	binary.BigEndian.PutUint64(body[atRevision:], t.Revision)
	binary.BigEndian.PutUint64(body[atIssued:], uint64(t.Issued.Unix()))   //nolint:gosec // after 1970
	binary.BigEndian.PutUint64(body[atExpires:], uint64(t.Expires.Unix())) //nolint:gosec // after 1970
	binary.BigEndian.PutUint16(body[atScopeSize:], uint16(len(t.Scope)))   //nolint:gosec // checked above
	body = append(body, t.Scope...)
	message := b.message(body)
	record := append(body, sum(keys.mac[keys.macVersion], message)...)
	if signKey != 0 {
		record = append(record, ed25519.Sign(keys.sign[signKey], message)...)
	}
	return record
}

// decode reads a record and checks by its MAC that a server wrote it for this binding. The expiry is the caller's to look at.
func decode(b *binding, record []byte, keys *Keys) (*auth.Token, error) {
	if len(record) < atScope || record[atVersion] != recordVersion {
		return nil, errMiss
	}
	size := int(binary.BigEndian.Uint16(record[atScopeSize:]))
	end := atScope + size
	want := end + sha256.Size
	if binary.BigEndian.Uint32(record[atSignKey:]) != 0 {
		want += ed25519.SignatureSize
	}
	if len(record) != want {
		return nil, errMiss
	}
	key, known := keys.mac[binary.BigEndian.Uint32(record[atMACKey:])]
	if !known || !hmac.Equal(sum(key, b.message(record[:end])), record[end:end+sha256.Size]) {
		return nil, errMiss
	}
	return &auth.Token{
		ID:         auth.TokenID(record[atToken:atClient]),
		Client:     auth.ClientID(record[atClient:atCredential]),
		Credential: auth.SecretID(record[atCredential:atRevision]),
		API:        b.api,
		Scope:      string(record[atScope:end]),
		Issued:     seconds(record[atIssued:]),
		Expires:    seconds(record[atExpires:]),
		Revision:   binary.BigEndian.Uint64(record[atRevision:]),
	}, nil
}

func seconds(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC() //nolint:gosec // authenticated: a server wrote it
}

func sum(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}
