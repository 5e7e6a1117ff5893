package auth

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// rawID is 48 bits of creation time in milliseconds and 80 random bits, so that ids sort by age and cannot be guessed.
type rawID = [16]byte

func newID(now time.Time) (id rawID) {
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(now.UnixMilli())<<16)
	copy(id[:6], stamp[:6])
	_, _ = rand.Read(id[6:]) // never fails: crypto/rand
	return id
}

// idText writes an id as its prefix and 22 base62 digits.
func idText(prefix string, id rawID) string {
	var buffer [32]byte
	return string(appendBase62(append(buffer[:0], prefix...), id[:], idDigits))
}

// parseID reads the text form of an id that names something. Zero is how a lack is written, and names nothing.
func parseID(prefix, text string) (rawID, error) {
	id, err := readID(prefix, text)
	if err == nil && id == (rawID{}) {
		return id, fault.New(fault.NotFound, "no id is zero")
	}
	return id, err
}

func readID(prefix, text string) (id rawID, err error) {
	if len(text) != len(prefix)+idDigits || text[:len(prefix)] != prefix || !parseBase62(id[:], text[len(prefix):]) {
		return rawID{}, fault.New(fault.NotFound, "an id of this kind is "+prefix+" and 22 letters and digits")
	}
	return id, nil
}

// ClientID names a client. Its text form is `cl_` and 22 base62 digits, the `client_id` of RFC 6749 §2.2. Clients never choose it (RFC 9700 §4.15).
type ClientID rawID

// NewClientID returns a fresh id that sorts after older ones.
func NewClientID(now time.Time) ClientID { return ClientID(newID(now)) }

// ParseClientID reads the text form, or returns fault.NotFound.
func ParseClientID(text string) (ClientID, error) {
	id, err := parseID("cl_", text)
	return ClientID(id), err
}

// String returns the text form.
func (id ClientID) String() string { return idText("cl_", rawID(id)) }

// MarshalText returns the text form.
func (id ClientID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ClientID) UnmarshalText(text []byte) error {
	read, err := readID("cl_", string(text))
	*id = ClientID(read)
	return err
}

// APIID names an API. Its text form is `api_` and 22 base62 digits.
type APIID rawID

// NewAPIID returns a fresh id that sorts after older ones.
func NewAPIID(now time.Time) APIID { return APIID(newID(now)) }

// ParseAPIID reads the text form, or returns fault.NotFound.
func ParseAPIID(text string) (APIID, error) {
	id, err := parseID("api_", text)
	return APIID(id), err
}

// String returns the text form.
func (id APIID) String() string { return idText("api_", rawID(id)) }

// MarshalText returns the text form.
func (id APIID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *APIID) UnmarshalText(text []byte) error {
	read, err := readID("api_", string(text))
	*id = APIID(read)
	return err
}

// SecretID names a client secret. Its text form is `sec_` and 22 base62 digits.
type SecretID rawID

// NewSecretID returns a fresh id that sorts after older ones.
func NewSecretID(now time.Time) SecretID { return SecretID(newID(now)) }

// ParseSecretID reads the text form, or returns fault.NotFound.
func ParseSecretID(text string) (SecretID, error) {
	id, err := parseID("sec_", text)
	return SecretID(id), err
}

// String returns the text form.
func (id SecretID) String() string { return idText("sec_", rawID(id)) }

// MarshalText returns the text form.
func (id SecretID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *SecretID) UnmarshalText(text []byte) error {
	read, err := readID("sec_", string(text))
	*id = SecretID(read)
	return err
}

// TrustedIssuerID names a trusted issuer. Its text form is `iss_` and 22 base62 digits.
type TrustedIssuerID rawID

// NewTrustedIssuerID returns a fresh id that sorts after older ones.
func NewTrustedIssuerID(now time.Time) TrustedIssuerID { return TrustedIssuerID(newID(now)) }

// ParseTrustedIssuerID reads the text form, or returns fault.NotFound.
func ParseTrustedIssuerID(text string) (TrustedIssuerID, error) {
	id, err := parseID("iss_", text)
	return TrustedIssuerID(id), err
}

// String returns the text form.
func (id TrustedIssuerID) String() string { return idText("iss_", rawID(id)) }

// MarshalText returns the text form.
func (id TrustedIssuerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *TrustedIssuerID) UnmarshalText(text []byte) error {
	read, err := readID("iss_", string(text))
	*id = TrustedIssuerID(read)
	return err
}

// KeyID names a signing key, the `kid` of RFC 7515 §4.1.4. Its text form is `key_` and 22 base62 digits.
type KeyID rawID

// NewKeyID returns a fresh id that sorts after older ones.
func NewKeyID(now time.Time) KeyID { return KeyID(newID(now)) }

// ParseKeyID reads the text form, or returns fault.NotFound.
func ParseKeyID(text string) (KeyID, error) {
	id, err := parseID("key_", text)
	return KeyID(id), err
}

// String returns the text form.
func (id KeyID) String() string { return idText("key_", rawID(id)) }

// MarshalText returns the text form.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *KeyID) UnmarshalText(text []byte) error {
	read, err := readID("key_", string(text))
	*id = KeyID(read)
	return err
}

// EventID names an audit event. Its text form is `evt_` and 22 base62 digits.
type EventID rawID

// NewEventID returns a fresh id that sorts after older ones.
func NewEventID(now time.Time) EventID { return EventID(newID(now)) }

// ParseEventID reads the text form, or returns fault.NotFound.
func ParseEventID(text string) (EventID, error) {
	id, err := parseID("evt_", text)
	return EventID(id), err
}

// String returns the text form.
func (id EventID) String() string { return idText("evt_", rawID(id)) }

// MarshalText returns the text form.
func (id EventID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *EventID) UnmarshalText(text []byte) error {
	read, err := readID("evt_", string(text))
	*id = EventID(read)
	return err
}
