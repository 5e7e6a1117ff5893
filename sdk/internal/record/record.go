// Package record checks records of the issuer's token store, as docs/token-store.md has it for services: by their signature, bound
// to the token that was presented and to who reads it. Whatever fails is a miss and no verdict on the token.
package record

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// The record, byte by byte, is the subject of docs/token-store.md.
const (
	recordVersion = 1
	domain        = "countersign token-store record v1\x00"
	macSize       = 32

	atVersion    = 0
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

// Why a record is a miss.
var (
	ErrFormat    = errors.New("the record is malformed or of another version")
	ErrUnsigned  = errors.New("the record is not signed: the servers do not let services read the token store")
	ErrKey       = errors.New("the record is signed with a key that the issuer does not publish")
	ErrSignature = errors.New("the record's signature does not verify for this token, API, audience and issuer")
	ErrExpired   = errors.New("the record has expired")
)

// Claims are what a record says of a token.
type Claims struct {
	TokenID    string // jti
	ClientID   string // client_id and sub
	Credential string // cs_sec; empty: none
	Scope      string // space-delimited
	Issued     time.Time
	Expires    time.Time
	Revision   uint64 // cs_rev
}

// Reader reads the records of one API. It does not change and may be used by any number of goroutines.
type Reader struct {
	prefix  string // of the keys
	binding []byte // the part of the message that is the same for every token
}

// NewReader returns a reader of the records that the issuer made for an API. audience is the API's identifier, api the text form of
// its id: api_ and 22 digits.
func NewReader(issuer, audience, api string) (*Reader, error) {
	if len(issuer) > math.MaxUint16 || len(audience) > math.MaxUint16 {
		return nil, errors.New("issuer and audience have at most 65,535 bytes")
	}
	id, err := parseAPI(api)
	if err != nil {
		return nil, err
	}
	b := []byte(domain)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(issuer))), issuer...)     //nolint:gosec // bounded above
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(audience))), audience...) //nolint:gosec // bounded above
	return &Reader{prefix: "cst:{" + api + "}:", binding: append(b, id[:]...)}, nil
}

// Key returns where the record of a token lies. hash is SHA-256 of the whole presented token.
func (r *Reader) Key(hash [32]byte) string {
	return r.prefix + base64.RawURLEncoding.EncodeToString(hash[:])
}

// Open returns what record, found under Key(hash), says. publicKey returns the issuer's key of a version, or nil. An error is a miss.
func (r *Reader) Open(record []byte, hash [32]byte, publicKey func(version uint32) ed25519.PublicKey, now time.Time) (*Claims, error) {
	if len(record) < atScope || record[atVersion] != recordVersion {
		return nil, ErrFormat
	}
	version := binary.BigEndian.Uint32(record[atSignKey:])
	if version == 0 {
		return nil, ErrUnsigned
	}
	end := atScope + int(binary.BigEndian.Uint16(record[atScopeSize:]))
	if len(record) != end+macSize+ed25519.SignatureSize {
		return nil, ErrFormat
	}
	key := publicKey(version)
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: version %d", ErrKey, version)
	}
	message := make([]byte, 0, len(r.binding)+len(hash)+end)
	message = append(append(append(message, r.binding...), hash[:]...), record[:end]...)
	if !ed25519.Verify(key, message, record[end+macSize:]) {
		return nil, ErrSignature
	}
	c := &Claims{
		TokenID: text("", record[atToken:]), ClientID: text("cl_", record[atClient:]),
		Scope:  string(record[atScope:end]),
		Issued: seconds(record[atIssued:]), Expires: seconds(record[atExpires:]),
		Revision: binary.BigEndian.Uint64(record[atRevision:]),
	}
	if credential := record[atCredential:atRevision]; [16]byte(credential) != ([16]byte{}) {
		c.Credential = text("sec_", credential)
	}
	if !c.Expires.After(now) {
		return nil, ErrExpired
	}
	return c, nil
}

func seconds(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC() //nolint:gosec // signed: a server wrote it
}
