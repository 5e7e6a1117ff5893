package redisstore_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/redisstore"
)

var update = flag.Bool("update", false, "write the golden vectors anew") //nolint:gochecknoglobals // a flag of the test

const goldenFile = "../../sdk/testdata/tokenstore.json"

// vectors are records that every reader of the token store must judge alike.
type vectors struct {
	About    string            `json:"about"`
	MACKeys  map[uint32][]byte `json:"mac_keys"`  // base64; servers have them
	SignKeys map[uint32][]byte `json:"sign_keys"` // base64, Ed25519 public keys; services have them
	Records  []vector          `json:"records"`
}

type vector struct {
	Name string `json:"name"`
	// What the reader knows.
	Issuer   string    `json:"issuer"`
	Audience string    `json:"audience"`
	API      string    `json:"api"`
	Token    string    `json:"token"`
	Now      time.Time `json:"now"`
	// What it finds.
	Key    string `json:"key"`
	Record []byte `json:"record"` // base64
	// What it makes of it.
	Server  bool    `json:"server"`  // accepted by its MAC
	Service bool    `json:"service"` // accepted by its signature
	Claims  *claims `json:"claims,omitempty"`
}

// claims are what an accepted record says, with the names of RFC 7519 and ours.
type claims struct {
	ID         string `json:"jti"`
	Client     string `json:"client_id"`
	Credential string `json:"cs_sec,omitempty"`
	Scope      string `json:"scope"`
	Issued     int64  `json:"iat"`
	Expires    int64  `json:"exp"`
	Revision   uint64 `json:"cs_rev"`
}

func claimsOf(t *auth.Token) *claims {
	c := &claims{
		ID: t.ID.String(), Client: t.Client.String(), Scope: t.Scope,
		Issued: t.Issued.Unix(), Expires: t.Expires.Unix(), Revision: t.Revision,
	}
	if t.Credential != (auth.SecretID{}) {
		c.Credential = t.Credential.String()
	}
	return c
}

const (
	goldenIssuer   = "https://auth.example"
	goldenAudience = "https://inventory.example"
	goldenToken    = "cs_at_00DuUmguYL81ogSKwPWILKpG63j3mk5h7shtLvqMQBTcV9ubbsYMC8t3jWXUwd59m3HJWne"
	goldenOther    = "cs_at_00DuUmguYL8CSHyp2jASLAQwm9WgSHDwYBamie7o78bf2BqpyWmvCTh8TSypzBajh2xnp2K"
)

// goldenKeys are keys of versions 1 and 2, and of 3, which no reader of the vectors has.
func goldenKeys(t *testing.T, versions ...uint32) *redisstore.Keys {
	t.Helper()
	mac, sign := map[uint32][]byte{}, map[uint32]ed25519.PrivateKey{}
	for _, v := range versions {
		mac[v] = bytes.Repeat([]byte{byte(v)}, 32)
		sign[v] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(0x80 + v)}, ed25519.SeedSize))
	}
	keys, err := redisstore.NewKeys(mac, sign)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// makeVectors computes every vector from fixed input.
func makeVectors(t *testing.T) vectors {
	t.Helper()
	v := vectors{
		About:   "Records of the token store, see docs/token-store.md. The keys and tokens are for tests and good for nothing else.",
		MACKeys: map[uint32][]byte{}, SignKeys: map[uint32][]byte{},
	}
	for n := uint32(1); n <= 2; n++ {
		v.MACKeys[n] = bytes.Repeat([]byte{byte(n)}, 32)
		v.SignKeys[n] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(0x80 + n)}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	}
	api := auth.APIID{1, 2, 3, 15: 4}
	issued := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	id, _, err := auth.ParseOpaque(goldenToken)
	if err != nil {
		t.Fatal(err)
	}
	token := auth.Token{
		ID: id, Client: auth.ClientID{5, 15: 6}, Credential: auth.SecretID{7, 15: 8}, API: api,
		Scope: "inventory:read inventory:write", Issued: issued, Expires: issued.Add(time.Hour), Revision: 1 << 40,
	}
	plain := token
	plain.Scope, plain.Credential, plain.Revision = "", auth.SecretID{}, 0
	home := redisstore.Binding{Issuer: goldenIssuer, Audience: goldenAudience, API: api, Key: auth.KeyOf(goldenToken)}
	at := issued.Add(30 * time.Minute)
	add := func(name string, record []byte, server, service bool, change func(*vector)) {
		entry := vector{
			Name: name, Issuer: goldenIssuer, Audience: goldenAudience, API: api.String(), Token: goldenToken, Now: at,
			Record: record, Server: server, Service: service,
		}
		if change != nil {
			change(&entry)
		}
		reader, err := auth.ParseAPIID(entry.API)
		if err != nil {
			t.Fatal(err)
		}
		entry.Key = redisstore.RedisKey(reader, auth.KeyOf(entry.Token))
		if (server || service) && entry.Claims == nil {
			entry.Claims = claimsOf(&token)
		}
		v.Records = append(v.Records, entry)
	}
	edit := func(record []byte, change func([]byte) []byte) []byte { return change(bytes.Clone(record)) }

	signed := redisstore.Encode(home, &token, goldenKeys(t, 1, 2), true)
	unsigned := redisstore.Encode(home, &token, goldenKeys(t, 1, 2), false)
	add("signed", signed, true, true, nil)
	add("not signed", unsigned, true, false, nil)
	add("older keys", redisstore.Encode(home, &token, goldenKeys(t, 1), true), true, true, nil)
	add("no scope, no credential, revision 0", redisstore.Encode(home, &plain, goldenKeys(t, 1, 2), true), true, true,
		func(e *vector) { e.Claims = claimsOf(&plain) })
	add("in its last moment", signed, true, true, func(e *vector) { e.Now = token.Expires.Add(-time.Millisecond) })

	add("expired", signed, false, false, func(e *vector) { e.Now = token.Expires })
	add("keys that the reader does not have", redisstore.Encode(home, &token, goldenKeys(t, 3), true), false, false, nil)
	add("of another issuer", signed, false, false, func(e *vector) { e.Issuer = "https://auth.example/" })
	add("for another audience", signed, false, false, func(e *vector) { e.Audience = "https://inventory.example/v2" })
	add("border of issuer and audience moved", signed, false, false,
		func(e *vector) { e.Issuer, e.Audience = goldenIssuer+"h", goldenAudience[1:] })
	add("for another API", signed, false, false, func(e *vector) { e.API = auth.APIID{9}.String() })
	add("for another token", signed, false, false, func(e *vector) { e.Token = goldenOther })
	add("of version 2", edit(signed, func(r []byte) []byte { r[0] = 2; return r }), false, false, nil)
	add("longer life", edit(signed, func(r []byte) []byte { r[80]++; return r }), false, false, nil)
	add("another scope", edit(signed, func(r []byte) []byte { r[83] ^= 1; return r }), false, false, nil)
	add("another client", edit(signed, func(r []byte) []byte { r[25] ^= 1; return r }), false, false, nil)
	add("higher revision", edit(signed, func(r []byte) []byte { r[64]++; return r }), false, false, nil)
	add("signature changed", edit(signed, func(r []byte) []byte { r[len(r)-1] ^= 1; return r }), true, false, nil)
	add("MAC changed", edit(signed, func(r []byte) []byte { r[len(r)-65] ^= 1; return r }), false, true, nil)
	add("signature cut off", signed[:len(signed)-64], false, false, nil)
	add("a byte too long", append(bytes.Clone(signed), 0), false, false, nil)
	add("cut in the scope", signed[:100], false, false, nil)
	add("scope longer than the record", edit(signed, func(r []byte) []byte { r[81] = 0xff; return r }), false, false, nil)
	add("claims not to be signed", edit(signed, func(r []byte) []byte { clear(r[5:9]); return r[:len(r)-64] }), false, false, nil)
	add("empty", []byte{}, false, false, nil)
	return v
}

// TestGoldenFile says that the file holds what this code writes.
func TestGoldenFile(t *testing.T) {
	want, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(goldenFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatalf("%s is not what the code writes (run with -update if that is meant):\n%s", goldenFile, diff)
	}
}

// TestGoldenVectors judges the records of the file as a server and, by the document alone, as a service.
func TestGoldenVectors(t *testing.T) {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	keys, err := redisstore.NewKeys(v.MACKeys, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range v.Records {
		t.Run(tt.Name, func(t *testing.T) {
			api, err := auth.ParseAPIID(tt.API)
			if err != nil {
				t.Fatal(err)
			}
			b := redisstore.Binding{Issuer: tt.Issuer, Audience: tt.Audience, API: api, Key: auth.KeyOf(tt.Token)}
			token, err := redisstore.Decode(b, tt.Record, keys)
			if accepted := err == nil && token.Live(tt.Now); accepted != tt.Server {
				t.Fatalf("a server accepts it: %v, want %v", accepted, tt.Server)
			} else if accepted {
				if diff := cmp.Diff(tt.Claims, claimsOf(token)); diff != "" {
					t.Errorf("claims (-want +got):\n%s", diff)
				}
			}
			if accepted := serviceAccepts(b, tt.Record, v.SignKeys, tt.Now); accepted != tt.Service {
				t.Fatalf("a service accepts it: %v, want %v", accepted, tt.Service)
			}
		})
	}
}

// serviceAccepts follows docs/token-store.md step by step, as a reader with public keys only does.
func serviceAccepts(b redisstore.Binding, record []byte, keys map[uint32][]byte, now time.Time) bool {
	if len(record) < 83 || record[0] != 1 {
		return false
	}
	end := 83 + int(binary.BigEndian.Uint16(record[81:83]))
	public, ok := keys[binary.BigEndian.Uint32(record[5:9])]
	if !ok || len(record) != end+32+64 {
		return false
	}
	message := []byte("countersign token-store record v1\x00")
	message = append(binary.BigEndian.AppendUint16(message, uint16(len(b.Issuer))), b.Issuer...)
	message = append(binary.BigEndian.AppendUint16(message, uint16(len(b.Audience))), b.Audience...)
	message = append(append(append(message, b.API[:]...), b.Key[:]...), record[:end]...)
	return ed25519.Verify(public, message, record[end+32:]) &&
		now.Before(time.Unix(int64(binary.BigEndian.Uint64(record[73:81])), 0))
}

func TestRedisKey(t *testing.T) {
	api, key := auth.APIID{1, 2, 3, 15: 4}, auth.KeyOf(goldenToken)
	want := "cst:{" + api.String() + "}:" + base64.RawURLEncoding.EncodeToString(key[:])
	if got := redisstore.RedisKey(api, key); got != want {
		t.Fatalf("key = %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		f.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		f.Fatal(err)
	}
	for _, r := range v.Records {
		f.Add(r.Record)
	}
	keys, err := redisstore.NewKeys(v.MACKeys, nil)
	if err != nil {
		f.Fatal(err)
	}
	api := auth.APIID{1, 2, 3, 15: 4}
	b := redisstore.Binding{Issuer: goldenIssuer, Audience: goldenAudience, API: api, Key: auth.KeyOf(goldenToken)}
	f.Fuzz(func(t *testing.T, record []byte) {
		token, err := redisstore.Decode(b, record, keys)
		if err != nil {
			return
		}
		for _, known := range v.Records {
			// Of a record that a server wrote only the signature, which servers do not read, may differ.
			if known.Server && bytes.HasPrefix(record, known.Record[:83+len(known.Claims.Scope)+32]) {
				return
			}
		}
		t.Fatalf("accepted a record that no server wrote: %x says %+v", record, token)
	})
}
