package sdktest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// storeKeyVersion is the version of the store key, both of the signing one and of the MAC's.
const storeKeyVersion = 1

// Records is the issuer's token store as a service sees it: it has a record of every opaque token, docs/token-store.md. It is an
// sdk.RecordReader. See [WithTokenStore].
type Records struct{ issuer *Issuer }

// Records returns the token store.
func (i *Issuer) Records() *Records { return &Records{i} }

// Read returns the record under key, nil if there is none.
func (r *Records) Read(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.issuer.mu.Lock()
	token := r.issuer.recorded[key]
	r.issuer.mu.Unlock()
	if token == "" {
		return nil, nil
	}
	_, record, err := r.issuer.Record(token)
	return record, err
}

// Record returns the signed record of an opaque token and the key under which it lies. It fails if the token is none that the
// issuer knows, or the ids of client and token are not in Countersign's form.
func (i *Issuer) Record(token string) (key string, record []byte, err error) {
	i.mu.Lock()
	m := i.tokens[token]
	i.mu.Unlock()
	if m == nil || m.key != "" || i.storeKey == nil {
		return "", nil, errors.New("no record: the token is no opaque one of this issuer, or the issuer has no token store")
	}
	audience := m.audience[0]
	if record, err = m.record(); err != nil {
		return "", nil, err
	}
	hash, api := sha256.Sum256([]byte(token)), idBytes("api_", APIID(audience))
	message := []byte("countersign token-store record v1\x00")
	message = append(appendLength(message, i.url), i.url...)
	message = append(appendLength(message, audience), audience...)
	message = append(append(append(message, api...), hash[:]...), record...)
	record = append(record, random(32)...) // the MAC, which services do not check
	return recordKey(token, audience), append(record, ed25519.Sign(i.storeKey, message)...), nil
}

func recordKey(token, audience string) string {
	hash := sha256.Sum256([]byte(token))
	return "cst:{" + APIID(audience) + "}:" + encode(hash[:])
}

// record returns the record up to its MAC.
func (m *minted) record() ([]byte, error) {
	var scope string
	var issued uint64
	read(m, "scope", &scope)
	read(m, "iat", &issued)
	record := binary.BigEndian.AppendUint32([]byte{1}, storeKeyVersion)
	record = binary.BigEndian.AppendUint32(record, storeKeyVersion)
	for _, id := range []struct{ prefix, text string }{{"", m.id}, {"cl_", m.client}, {"sec_", m.secret}} {
		b := idBytes(id.prefix, id.text)
		if id.prefix == "sec_" && id.text == "" {
			b = make([]byte, 16) // none
		}
		if b == nil {
			return nil, fmt.Errorf("no record: %q is not %s and %d digits of base 62", id.text, id.prefix, idDigits)
		}
		record = append(record, b...)
	}
	for _, number := range []uint64{m.revision, issued, uint64(max(0, m.expires.Unix()))} {
		record = binary.BigEndian.AppendUint64(record, number)
	}
	return append(appendLength(record, scope), scope...), nil
}

func appendLength(b []byte, text string) []byte {
	if len(text) > math.MaxUint16 {
		panic("sdktest: longer than 65,535 bytes")
	}
	return binary.BigEndian.AppendUint16(b, uint16(len(text))) //nolint:gosec // see above
}

// idBytes returns the 16 bytes of an id, nil if it is none.
func idBytes(prefix, text string) []byte {
	text, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) != idDigits {
		return nil
	}
	n, base := new(big.Int), big.NewInt(int64(len(digits)))
	for _, digit := range text {
		value := strings.IndexRune(digits, digit)
		if value < 0 {
			return nil
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(value)))
	}
	if n.BitLen() > 128 {
		return nil
	}
	return n.FillBytes(make([]byte, 16))
}
