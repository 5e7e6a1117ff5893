package sdk_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// records is a token store that does what it is told.
type records struct {
	read  func(ctx context.Context, key string) ([]byte, error)
	mu    sync.Mutex
	calls int
}

func (r *records) Read(ctx context.Context, key string) ([]byte, error) {
	r.mu.Lock()
	r.calls++
	r.mu.Unlock()
	return r.read(ctx, key)
}

func (r *records) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// ends is a Tracer that keeps the results of look-ups.
type ends struct {
	mu      sync.Mutex
	results []string
}

func (e *ends) Start(ctx context.Context, operation string) (context.Context, func(sdk.Outcome)) {
	return ctx, func(o sdk.Outcome) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if operation == sdk.OperationTokenStore {
			e.results = append(e.results, o.Result)
		}
	}
}

// store is a look-up whose records come from read, and the issuer that vouches for them.
type store struct {
	*sdk.StoreLookup
	t       *testing.T
	issuer  *sdktest.Issuer
	records *records
	tracer  *ends
	ask     *sdk.Introspector
}

func newStore(t *testing.T, read func(context.Context, string) ([]byte, error)) *store {
	t.Helper()
	s := &store{
		t: t, issuer: sdktest.New(sdktest.WithOpaqueTokens(), sdktest.WithTokenStore()),
		records: &records{read: read}, tracer: &ends{},
	}
	if read == nil {
		s.records.read = s.issuer.Records().Read
	}
	var err error
	if s.ask, err = sdk.NewIntrospector(s.issuer.URL(), s.issuer.ClientID(), sdk.Secret("s"), sdk.WithHTTPClient(s.issuer.Client())); err != nil {
		t.Fatal(err)
	}
	if s.StoreLookup, err = sdk.NewStoreLookup(s.ask, inventory, s.records, sdktest.APIID(inventory), s.tracer); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) close() {
	s.Close()
	s.ask.Close()
	s.issuer.Close()
}

// look looks for a token and returns nil for a miss.
func (s *store) look(token string) *sdk.Looked {
	s.t.Helper()
	got, err := s.Look(s.t.Context(), sha256.Sum256([]byte(token)))
	if (got == nil) != errors.Is(err, sdk.Miss) {
		s.t.Fatalf("got %v, %v", got, err)
	}
	return got
}

func TestStoreLookup(t *testing.T) {
	s := newStore(t, nil)
	defer s.close()
	token := s.issuer.Token(inventory, "read", "write")
	got := s.look(token)
	if got == nil {
		t.Fatalf("missed: %+v", s.State())
	}
	asked, err := sdk.NewIntrospector(s.issuer.URL(), s.issuer.ClientID(), sdk.Secret(s.issuer.ClientSecret()), sdk.WithHTTPClient(s.issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	live, err := asked.LookUp(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	// Store and introspection must not tell two stories of one token.
	for name, of := range map[string]func(*sdk.Identity) any{
		"issuer":   func(i *sdk.Identity) any { return i.Issuer() },
		"client":   func(i *sdk.Identity) any { return i.ClientID() },
		"subject":  func(i *sdk.Identity) any { return i.Subject() },
		"token id": func(i *sdk.Identity) any { return i.TokenID() },
		"scopes":   func(i *sdk.Identity) any { return i.Scopes() },
		"audience": func(i *sdk.Identity) any { return i.Audience() },
		"issued":   func(i *sdk.Identity) any { return i.IssuedAt().Unix() },
		"expires":  func(i *sdk.Identity) any { return i.Expires().Unix() },
	} {
		if a, b := of(got.Identity()), of(live.Identity()); !reflect.DeepEqual(a, b) {
			t.Errorf("%s: store %v, introspection %v", name, a, b)
		}
	}
	for _, name := range []string{"iss", "sub", "aud", "client_id", "jti", "scope", "iat", "exp"} {
		var a, b any
		if ok, err := got.Identity().Claim(name, &a); !ok || err != nil {
			t.Errorf("claim %s: %v, %v", name, ok, err)
		}
		if _, err := live.Identity().Claim(name, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("claim %s: store %v, introspection %v", name, a, b)
		}
	}
	if subject := got.Subject(); subject.Credential != s.issuer.Credential(s.issuer.ClientID()) || subject.TokenID != got.Identity().TokenID() || subject.KeyID != "" {
		t.Errorf("got %+v", subject)
	}
	if got.Live() || got.Fresh() != 0 {
		t.Error("a record is taken for the server's own word")
	}
	if s.look(token+"x") != nil || s.look(s.issuer.Token("https://other.test")) != nil {
		t.Error("found what is not there")
	}
	if got := s.State(); got.Hits != 1 || got.Misses != 2 || got.Invalid+got.Failed+got.Skipped != 0 {
		t.Errorf("got %+v", got)
	}
	if want := []string{"hit", "miss", "miss"}; !reflect.DeepEqual(s.tracer.results, want) {
		t.Errorf("traced %v, want %v", s.tracer.results, want)
	}
}

// What lies in the store is believed for the token it was made for, and for nothing else.
func TestStoreLookupOfForgeries(t *testing.T) {
	s := newStore(t, nil)
	defer s.close()
	token, other := s.issuer.Token(inventory, "read"), s.issuer.Token(inventory, "admin")
	stranger := sdktest.New(sdktest.WithOpaqueTokens(), sdktest.WithTokenStore())
	defer stranger.Close()
	for name, record := range map[string]func() ([]byte, error){
		"of another token": func() ([]byte, error) { _, record, err := s.issuer.Record(other); return record, err },
		"of another issuer": func() ([]byte, error) {
			_, record, err := stranger.Record(stranger.Token(inventory, "read"))
			return record, err
		},
		"one bit": func() ([]byte, error) {
			_, record, err := s.issuer.Record(token)
			record[len(record)-120] ^= 1
			return record, err
		},
		"no record": func() ([]byte, error) { return []byte("x"), nil },
		"long":      func() ([]byte, error) { return make([]byte, 1<<20), nil },
	} {
		before := s.State().Invalid
		s.records.read = func(context.Context, string) ([]byte, error) { return record() }
		if s.look(token) != nil || s.State().Invalid != before+1 || s.State().LastError == "" {
			t.Errorf("%s: %+v", name, s.State())
		}
	}
	if s.State().LeftAlone {
		t.Error("forgeries make the store be left alone")
	}
}

func TestStoreLookupWhereServicesMayNotRead(t *testing.T) {
	s := newStore(t, nil)
	defer s.close()
	s.issuer.Alter(sdktest.MetadataEndpoint, func(answer map[string]any) { delete(answer, "countersign_token_store_keys") })
	if s.look(s.issuer.Token(inventory)) != nil || s.records.count() != 0 || s.State().Skipped != 1 {
		t.Errorf("asked %d times: %+v", s.records.count(), s.State())
	}
}

func TestStoreLookupWithoutMetadata(t *testing.T) {
	s := newStore(t, nil)
	defer s.close()
	s.issuer.Down(true)
	if s.look("token") != nil || s.records.count() != 0 {
		t.Errorf("asked %d times: %+v", s.records.count(), s.State())
	}
}

// A store that hangs costs a look-up 50 ms, three times; then it costs nothing but one try a second, which nobody waits long for.
func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newStore(t, func(context.Context, string) ([]byte, error) { <-release; return nil, nil }) // heeds no context
		defer s.close()
		defer close(release)
		took := func() time.Duration {
			began := time.Now()
			if s.look("token") != nil {
				t.Fatal("found")
			}
			return time.Since(began)
		}
		for range 3 {
			if d := took(); d != 50*time.Millisecond {
				t.Errorf("took %v", d)
			}
		}
		for range 100 {
			if d := took(); d != 0 {
				t.Errorf("left alone, it took %v", d)
			}
		}
		if state := s.State(); !state.LeftAlone || state.Failed != 3 || state.Skipped != 100 || !strings.Contains(state.LastError, "deadline") {
			t.Errorf("got %+v", state)
		}
		for range 3 {
			time.Sleep(time.Second)
			if first, second := took(), took(); first != 50*time.Millisecond || second != 0 {
				t.Errorf("a second later it took %v, then %v", first, second)
			}
		}
	})
}

func TestStoreThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, func(context.Context, string) ([]byte, error) { return nil, errors.New("connection refused") })
		defer s.close()
		token := s.issuer.Token(inventory)
		for range 10 {
			if s.look(token) != nil {
				t.Fatal("found")
			}
		}
		if s.records.count() != 3 {
			t.Errorf("asked %d times", s.records.count())
		}
		s.records.read = s.issuer.Records().Read
		time.Sleep(999 * time.Millisecond)
		if s.look(token) != nil {
			t.Error("asked too soon")
		}
		time.Sleep(time.Millisecond)
		for range 2 {
			if s.look(token) == nil || s.State().LeftAlone {
				t.Errorf("missed: %+v", s.State())
			}
		}
	})
}

// Two failures, a success, two failures: the store is not left alone.
func TestStoreThatFailsNowAndThen(t *testing.T) {
	fail := true
	s := newStore(t, func(context.Context, string) ([]byte, error) {
		if fail {
			return nil, errors.New("reset")
		}
		return nil, nil
	})
	defer s.close()
	for n := range 30 {
		fail = n%3 != 2
		s.look("token")
	}
	if s.records.count() != 30 || s.State().LeftAlone {
		t.Errorf("asked %d times: %+v", s.records.count(), s.State())
	}
}

// Callers that go before the store has answered say nothing about the store.
func TestStoreLookupsThatAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		defer s.close()
		s.look("token") // fetches the metadata
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if _, err := s.Look(ctx, [32]byte{}); !errors.Is(err, sdk.Miss) {
				t.Error(err)
			}
			cancel()
		}
		if state := s.State(); state.LeftAlone || s.records.count() != 11 {
			t.Errorf("asked %d times: %+v", s.records.count(), state)
		}
	})
}

// However many look-ups there are at once, so many reads go on and no more.
func TestStoreReadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		s := newStore(t, func(context.Context, string) ([]byte, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return nil, nil
		})
		defer s.close()
		s.look("token")
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { _, _ = s.Look(t.Context(), [32]byte{}) })
		}
		all.Wait()
		if state := s.State(); most != 128 || state.Misses != 1001 {
			t.Errorf("%d at once: %+v", most, state)
		}
	})
}

func TestStoreLookupAfterClose(t *testing.T) {
	s := newStore(t, nil)
	token := s.issuer.Token(inventory)
	s.Close()
	defer s.close()
	if s.look(token) != nil || s.records.count() != 0 {
		t.Error("asked after it was closed")
	}
}

func TestStoreLookupOfNoAPI(t *testing.T) {
	issuer := sdktest.New()
	defer issuer.Close()
	ask := introspector(t, issuer, nil)
	if _, err := sdk.NewStoreLookup(ask, inventory, &records{}, "inventory", &ends{}); err == nil || !strings.Contains(err.Error(), `"inventory"`) {
		t.Errorf("got %v", err)
	}
}
