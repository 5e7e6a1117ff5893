package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkredis"
)

// A service that may read the token store, by a Redis user that can do nothing else, does not ask the server about a token; and hears that
// it was taken back all the same.
func TestSDKReadsTheTokenStore(t *testing.T) {
	store := testbed.Redis(t)
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings("token-store="+store.URL(), "token-store-direct=true")...)
	api := seeded.API(t, opaqueAPI).ID.String()
	records := openRedis(t, readOnly(t, store.URL(), api))
	verifier := newSDKVerifier(t, server.Issuer, opaqueAPI, seeded.Server, sdk.WithTokenStore(records, api))
	strict := sdk.RequireScope("read").Strict()

	text := token(t, server.URL, seeded.Caller, asking(opaqueAPI, "read"))
	testbed.Wait(t, promptly, func() error { // a record is written off the answer's path
		key := redisKeys(t, store.URL(), "cst:{"+api+"}:*")
		if len(key) != 1 {
			return fmt.Errorf("%d records", len(key))
		}
		return nil
	})
	who, err := verifier.Verify(t.Context(), text, strict)
	if err != nil || who.ClientID() != seeded.Caller.ID {
		t.Fatal(who, err)
	}
	if got := verifier.Describe(); got.TokenStore.Hits != 1 || got.Tokens.Introspections != 0 {
		t.Errorf("%+v, %d introspections", got.TokenStore, got.Tokens.Introspections)
	}
	revoke(t, server.URL, seeded.Caller, text)
	for began := time.Now(); ; {
		at := time.Since(began)
		_, err := verifier.Verify(t.Context(), text, strict)
		if errors.Is(err, sdk.ErrInvalidToken) {
			break
		}
		if err == nil && at > strictBound || err != nil {
			t.Fatalf("%v after it was revoked: %v", at, err)
		}
	}
	if err := records.Write(t.Context(), "cst:{"+api+"}:forged", []byte("x"), time.Minute); err == nil {
		t.Error("the user of a service can write")
	}
}

// The instances of a service that start together get along with one token.
func TestSDKInstancesShareAToken(t *testing.T) {
	t.Parallel()
	const instances = 20
	store := testbed.Redis(t)
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings()...)
	tokens := make([]string, instances)
	var running sync.WaitGroup
	for n := range instances {
		client := newSDKClient(t, server.Issuer, seeded.Caller, sdk.WithSharedTokens(openRedis(t, store.URL())))
		running.Go(func() {
			got, err := client.TokenSource(jwtAPI, "read").Token(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			tokens[n] = got.AccessToken()
		})
	}
	running.Wait()
	if t.Failed() {
		return
	}
	for _, text := range tokens[1:] {
		if text != tokens[0] {
			t.Error("two tokens")
		}
	}
	for _, key := range redisKeys(t, store.URL(), "*") {
		if value := redisValue(t, store.URL(), key); strings.Contains(value, tokens[0][:20]) || strings.Contains(value, seeded.Caller.ID) || strings.Contains(key, seeded.Caller.ID) {
			t.Errorf("%s can be read in the store", key)
		}
	}
}

func openRedis(t *testing.T, url string) *sdkredis.Store {
	t.Helper()
	store, err := sdkredis.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, store) })
	return store
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { closes(t, client) })
	return client
}

// readOnly makes the Redis user that docs/token-store.md has for services, and returns the URL with it.
func readOnly(t *testing.T, url, api string) string {
	t.Helper()
	client := redisClient(t, url)
	rules := "on >service-password resetkeys %R~cst:{" + api + "}:* resetchannels -@all +get +getrange +ping +select"
	arguments := []any{"ACL", "SETUSER", "inventory-" + api}
	for rule := range strings.FieldsSeq(rules) {
		arguments = append(arguments, rule)
	}
	if err := client.Do(t.Context(), arguments...).Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(url, "redis://", "redis://inventory-"+api+":service-password@", 1)
}

func redisKeys(t *testing.T, url, pattern string) []string {
	t.Helper()
	keys, err := redisClient(t, url).Keys(t.Context(), pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func redisValue(t *testing.T, url, key string) string {
	t.Helper()
	value, err := redisClient(t, url).Get(t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return value
}
