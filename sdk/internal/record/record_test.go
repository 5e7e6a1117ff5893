package record_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/record"
)

// vectors are those of ../../testdata/tokenstore.json, which the server writes.
type vectors struct {
	SignKeys map[uint32][]byte `json:"sign_keys"`
	Records  []vector          `json:"records"`
}

type vector struct {
	Name     string    `json:"name"`
	Issuer   string    `json:"issuer"`
	Audience string    `json:"audience"`
	API      string    `json:"api"`
	Token    string    `json:"token"`
	Now      time.Time `json:"now"`
	Key      string    `json:"key"`
	Record   []byte    `json:"record"`
	Service  bool      `json:"service"`
	Claims   struct {
		ID         string `json:"jti"`
		Client     string `json:"client_id"`
		Credential string `json:"cs_sec"`
		Scope      string `json:"scope"`
		Issued     int64  `json:"iat"`
		Expires    int64  `json:"exp"`
		Revision   uint64 `json:"cs_rev"`
	} `json:"claims"`
}

func golden(tb testing.TB) (v vectors) {
	tb.Helper()
	content, err := os.ReadFile("../../testdata/tokenstore.json")
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(content, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

func (v vectors) key(version uint32) ed25519.PublicKey { return v.SignKeys[version] }

func (v vector) reader(tb testing.TB) *record.Reader {
	tb.Helper()
	r, err := record.NewReader(v.Issuer, v.Audience, v.API)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestGolden(t *testing.T) {
	all := golden(t)
	accepted := 0
	for _, v := range all.Records {
		t.Run(v.Name, func(t *testing.T) {
			reader, hash := v.reader(t), sha256.Sum256([]byte(v.Token))
			if got := reader.Key(hash); got != v.Key {
				t.Errorf("key %s, want %s", got, v.Key)
			}
			got, err := reader.Open(v.Record, hash, all.key, v.Now)
			if (err == nil) != v.Service {
				t.Fatalf("got %+v, %v, accepted must be %v", got, err, v.Service)
			}
			if err != nil {
				return
			}
			accepted++
			want := record.Claims{
				TokenID: v.Claims.ID, ClientID: v.Claims.Client, Credential: v.Claims.Credential, Scope: v.Claims.Scope,
				Issued: time.Unix(v.Claims.Issued, 0).UTC(), Expires: time.Unix(v.Claims.Expires, 0).UTC(), Revision: v.Claims.Revision,
			}
			if *got != want {
				t.Errorf("got %+v, want %+v", *got, want)
			}
		})
	}
	if accepted < 3 || len(all.Records)-accepted < 10 {
		t.Errorf("%d of %d records accepted: these are not the vectors", accepted, len(all.Records))
	}
}

func TestWhyMissed(t *testing.T) {
	all := golden(t)
	named := map[string]vector{}
	for _, v := range all.Records {
		named[v.Name] = v
	}
	for name, want := range map[string]error{
		"not signed":                          record.ErrUnsigned,
		"expired":                             record.ErrExpired,
		"keys that the reader does not have":  record.ErrKey,
		"for another token":                   record.ErrSignature,
		"border of issuer and audience moved": record.ErrSignature,
		"of version 2":                        record.ErrFormat,
		"empty":                               record.ErrFormat,
		"scope longer than the record":        record.ErrFormat,
	} {
		v, ok := named[name]
		if !ok {
			t.Fatalf("there is no vector %q", name)
		}
		if _, err := v.reader(t).Open(v.Record, sha256.Sum256([]byte(v.Token)), all.key, v.Now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

// Every byte of a record matters but those of the MAC, which services cannot check.
func TestEveryByteCounts(t *testing.T) {
	all := golden(t)
	v := all.Records[0]
	reader, hash := v.reader(t), sha256.Sum256([]byte(v.Token))
	mac := len(v.Record) - 32 - ed25519.SignatureSize
	for i := range v.Record {
		changed := bytes.Clone(v.Record)
		changed[i] ^= 1
		_, err := reader.Open(changed, hash, all.key, v.Now)
		if inMAC := mac <= i && i < mac+32; (err == nil) != inMAC {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestNewReader(t *testing.T) {
	for _, tt := range []struct {
		name, audience, api string
		ok                  bool
	}{
		{"good", "https://a.test", "api_01tuWW4FooBN9IDJ2Mf77U", true},
		{"zero", "", "api_0000000000000000000000", true},
		{"the largest number", "", "api_7n42DGM5Tflk9n8mt7Fhc7", true},
		{"one more than the largest", "", "api_7n42DGM5Tflk9n8mt7Fhc8", false},
		{"22 highest digits", "", "api_zzzzzzzzzzzzzzzzzzzzzz", false},
		{"no prefix", "", "01tuWW4FooBN9IDJ2Mf77U", false},
		{"another prefix", "", "cl_01tuWW4FooBN9IDJ2Mf77U", false},
		{"too short", "", "api_1", false},
		{"too long", "", "api_01tuWW4FooBN9IDJ2Mf77U0", false},
		{"not a digit", "", "api_01tuWW4FooBN9IDJ2Mf77-", false},
		{"long audience", strings.Repeat("x", 1<<16), "api_01tuWW4FooBN9IDJ2Mf77U", false},
	} {
		if _, err := record.NewReader("https://auth.test", tt.audience, tt.api); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// FuzzOpen looks for a record that is believed though nobody signed it.
func FuzzOpen(f *testing.F) {
	all := golden(f)
	for _, v := range all.Records {
		f.Add(v.Record)
	}
	first := all.Records[0]
	reader, hash := first.reader(f), sha256.Sum256([]byte(first.Token))
	f.Fuzz(func(t *testing.T, text []byte) {
		claims, err := reader.Open(text, hash, all.key, first.Now)
		if (claims == nil) == (err == nil) {
			t.Fatal(claims, err)
		}
		if claims == nil {
			return
		}
		for _, v := range all.Records {
			if v.Service && len(text) == len(v.Record) && bytes.Equal(text[5:len(text)-96], v.Record[5:len(v.Record)-96]) {
				return // the MAC may differ
			}
		}
		t.Fatalf("a record that nobody signed says %+v", claims)
	})
}

// FuzzSigned signs whatever it is given: what a server signed is read as it stands there.
func FuzzSigned(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	key := func(uint32) ed25519.PublicKey { return private.Public().(ed25519.PublicKey) }
	first := golden(f).Records[0]
	reader, hash := first.reader(f), sha256.Sum256([]byte(first.Token))
	f.Add(first.Record[5:83], first.Claims.Scope)
	f.Add(make([]byte, 78), "")
	f.Fuzz(func(t *testing.T, head []byte, scope string) {
		if len(head) != 78 || len(scope) > math.MaxUint16 {
			return
		}
		body := append([]byte{1, 0, 0, 0, 1}, head...)
		binary.BigEndian.PutUint16(body[81:], uint16(len(scope)))
		body = append(body, scope...)
		text := slices.Concat(body, make([]byte, 32), ed25519.Sign(private, message(first, hash, body)))
		claims, err := reader.Open(text, hash, key, first.Now)
		expires := int64(binary.BigEndian.Uint64(body[73:]))
		signed, live := binary.BigEndian.Uint32(body[5:]) != 0, expires > first.Now.Unix()
		if expires > 1<<60 {
			live = err == nil // beyond what package time can compare: whichever
		}
		if (err == nil) != (signed && live) {
			t.Fatalf("got %v", err)
		}
		if err != nil {
			return
		}
		if claims.Scope != scope || claims.Expires.Unix() != expires || len(claims.TokenID) != 22 || len(claims.ClientID) != 25 ||
			claims.Revision != binary.BigEndian.Uint64(body[57:]) || (claims.Credential == "") != bytes.Equal(body[41:57], make([]byte, 16)) {
			t.Fatalf("got %+v", claims)
		}
	})
}

// message is what is signed, by docs/token-store.md.
func message(v vector, hash [32]byte, body []byte) []byte {
	sized := func(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
	api := []byte{1, 2, 3, 15: 4} // the id of every record in the vectors but one
	return slices.Concat([]byte("countersign token-store record v1\x00"), sized(v.Issuer), sized(v.Audience), api, hash[:], body)
}

func BenchmarkOpen(b *testing.B) {
	all := golden(b)
	v := all.Records[0]
	reader, hash := v.reader(b), sha256.Sum256([]byte(v.Token))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reader.Open(v.Record, hash, all.key, v.Now); err != nil {
			b.Fatal(err)
		}
	}
}
