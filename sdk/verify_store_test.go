package sdk_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// countingReader is a token store that counts what it is asked, and may be told to say something else.
type countingReader struct {
	sdk.RecordReader
	reads atomic.Int64
	alter func([]byte) []byte
}

func (r *countingReader) Read(ctx context.Context, key string) ([]byte, error) {
	r.reads.Add(1)
	text, err := r.RecordReader.Read(ctx, key)
	if r.alter != nil {
		text = r.alter(text)
	}
	return text, err
}

func storeService(t *testing.T) (*service, *countingReader) {
	t.Helper()
	issuer := sdktest.New(sdktest.WithTokenStore())
	reader := &countingReader{RecordReader: issuer.Records()}
	return serviceOf(t, issuer, sdk.WithTokenStore(reader, sdktest.APIID(api))), reader
}

// A second audience has records of its own, and nobody is asked about them who knows only the first's.
func TestTokenStoreOfAnotherAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other, third = "https://other.test", "https://third.test"
		issuer := sdktest.New(sdktest.WithTokenStore())
		reader := &countingReader{RecordReader: issuer.Records()}
		s := serviceOf(t, issuer, sdk.WithTokenStore(reader, sdktest.APIID(api)), sdk.WithTokenStoreFor(other, reader, sdktest.APIID(other)))
		for n, tt := range []struct {
			audience       string
			reads, queries int // in all
		}{{api, 1, 0}, {other, 2, 0}, {third, 2, 1}} {
			theirs := &service{Verifier: s.ForAudience(tt.audience), issuer: issuer}
			theirs.expect(t, tt.audience, "ok", issuer.MintOpaque(sdktest.Claims{Audience: []string{tt.audience}}), sdk.Policy{})
			if reads, queries := int(reader.reads.Load()), issuer.Requests(sdktest.IntrospectionEndpoint); reads != tt.reads || queries != tt.queries {
				t.Errorf("%s: %d reads and %d introspections", tt.audience, reads, queries)
			}
			if state := theirs.Describe(); (state.TokenStore != nil) != (n < 2) {
				t.Errorf("%s: %+v", tt.audience, state.TokenStore)
			}
		}
	})
	for want, option := range map[string]sdk.VerifierOption{
		"the audience is empty":                             sdk.WithTokenStoreFor("", sdktest.New().Records(), "api_x"),
		"WithTokenStoreFor: a reader and the id of the API": sdk.WithTokenStoreFor("https://other.test", nil, "api_x"),
	} {
		if _, err := sdk.NewVerifier("https://issuer.test", api, option); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Memory, then the token store, then introspection (DESIGN.md, "Read path"), each once for all who wait.
func TestReadPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := storeService(t)
		_ = s.Ready(t.Context())
		store.alter = func(text []byte) []byte {
			time.Sleep(10 * time.Millisecond) // until all have come
			return text
		}
		stored, unknown := s.issuer.MintOpaque(sdktest.Claims{}), sdktest.New().MintOpaque(sdktest.Claims{})
		var wg sync.WaitGroup
		for n := range 1000 {
			wg.Go(func() { s.expect(t, "stored", "ok", stored, sdk.Policy{Mode: sdk.Mode(n % 2)}) })
		}
		wg.Wait()
		if reads, asked := store.reads.Load(), s.issuer.Requests(sdktest.IntrospectionEndpoint); reads != 1 || asked != 0 {
			t.Errorf("%d reads and %d introspections, want one read", reads, asked)
		}
		s.expect(t, "unknown", "401", unknown, sdk.Policy{})
		s.expect(t, "JWT", "ok", s.issuer.Mint(sdktest.Claims{}), sdk.Policy{})
		if reads, asked := store.reads.Load(), s.issuer.Requests(sdktest.IntrospectionEndpoint); reads != 2 || asked != 1 {
			t.Errorf("%d reads and %d introspections, want 2 and 1", reads, asked)
		}
		if state := s.Describe(); state.Tokens.Records != 1 || state.TokenStore == nil || state.TokenStore.Hits != 1 {
			t.Errorf("%+v", state)
		}
	})
}

// A record is no authority: what it says is judged by the feed, and one that was tampered with is a miss.
func TestRecordsAreJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := storeService(t)
		token, other := s.issuer.MintOpaque(sdktest.Claims{}), s.issuer.MintOpaque(sdktest.Claims{})
		s.issuer.RevokeCredential(s.issuer.Credential(s.issuer.ClientID()))
		s.expect(t, "revoked before it was seen", "401", token, sdk.Policy{})
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 0 {
			t.Errorf("%d introspections", n)
		}
		store.alter = func(text []byte) []byte {
			if len(text) > 0 {
				text[60]++ // the revision
			}
			return text
		}
		s.expect(t, "tampered with", "401", other, sdk.Policy{})
		if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 1 {
			t.Errorf("%d introspections, want 1", n)
		}
	})
}

// A token in its last minute by the clock here is asked about each time, and ends when the leeway does.
func TestOpaqueTokenAtItsEnd(t *testing.T) {
	for _, withStore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			if withStore {
				s, _ = storeService(t)
			}
			token := s.issuer.MintOpaque(sdktest.Claims{Lifetime: 10 * time.Minute})
			s.expect(t, "young", "ok", token, sdk.Policy{})
			before := s.issuer.Requests(sdktest.IntrospectionEndpoint)
			time.Sleep(10*time.Minute - time.Nanosecond)
			s.expect(t, "last moment", "ok", token, sdk.Policy{})
			if n := s.issuer.Requests(sdktest.IntrospectionEndpoint) - before; n != 0 {
				t.Errorf("%d introspections while it lives", n)
			}
			time.Sleep(time.Second)
			s.expect(t, "expired for server and verifier", "401", token, sdk.Policy{})
			if n := s.issuer.Requests(sdktest.IntrospectionEndpoint) - before; n != 1 {
				t.Errorf("%d introspections, want 1 since clocks may differ", n)
			}
		})
	}
}
