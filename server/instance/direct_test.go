package instance_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/seed"
)

// TestTokenStoreDirect reads a record as docs/token-store.md tells a service to, knowing nothing but the metadata.
func TestTokenStoreDirect(t *testing.T) {
	for _, direct := range []bool{true, false} {
		t.Run(map[bool]string{true: "on", false: "off"}[direct], func(t *testing.T) {
			d := newDeployment(t)
			d.settings.TokenStore, d.settings.TokenStoreDirect = testbed.StartRedis(t).URL(), direct
			api := d.demo()
			public, _ := d.start()
			published := d.storeKeys(public)
			token := d.post(public+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "resource": {seed.Inventory}}).AccessToken
			record := d.record(api, token)
			scope := int(binary.BigEndian.Uint16(record[81:]))
			if !direct {
				if len(published) != 0 || len(record) != 83+scope+32 {
					t.Errorf("keys %v, record of %d bytes", published, len(record))
				}
				return
			}
			key, known := published[binary.BigEndian.Uint32(record[5:])]
			if !known || len(record) != 83+scope+32+64 {
				t.Fatalf("keys %v, record of %d bytes", published, len(record))
			}
			if !ed25519.Verify(key, d.message(api, token, record[:83+scope]), record[len(record)-64:]) {
				t.Error("the signature does not verify")
			}
		})
	}
}

// storeKeys are the token store's keys in the metadata.
func (d *deployment) storeKeys(public string) map[uint32]ed25519.PublicKey {
	d.Helper()
	_, text := d.get(public + "/.well-known/oauth-authorization-server")
	var metadata struct {
		Keys []struct {
			Version uint32 `json:"version"`
			Key     string `json:"key"`
		} `json:"countersign_token_store_keys"`
	}
	d.check(json.Unmarshal([]byte(text), &metadata))
	published := map[uint32]ed25519.PublicKey{}
	for _, k := range metadata.Keys {
		key, err := base64.RawURLEncoding.DecodeString(k.Key)
		d.check(err)
		published[k.Version] = key
	}
	return published
}

// demo makes the demo's API, and its caller the client of the deployment.
func (d *deployment) demo() (id auth.APIID) {
	d.Helper()
	registry, err := seed.System(d.Context(), d.store, d.master, time.Now)
	d.check(err)
	api, roles := seed.Demo()
	_, err = seed.API(d.Context(), registry, api)
	d.check(err)
	d.client, err = seed.Client(d.Context(), registry, roles[0])
	d.check(err)
	d.check(d.store.View(d.Context(), func(tx auth.Tx) error {
		stored, err := tx.APIs().APIByIdentifier(d.Context(), api.Identifier)
		id = stored.ID
		return err
	}))
	return id
}

// record waits for the token to be in Redis.
func (d *deployment) record(api auth.APIID, token string) (record []byte) {
	d.Helper()
	redis, err := redisconn.Open(d.settings.TokenStore, redisconn.Config{Budget: 5 * time.Second})
	d.check(err)
	defer redis.Close()
	hash := sha256.Sum256([]byte(token))
	testbed.Wait(d.T, 5*time.Second, func() (err error) {
		record, err = redis.Get(d.Context(), "cst:{"+api.String()+"}:"+base64.RawURLEncoding.EncodeToString(hash[:]))
		if err == nil && record == nil {
			err = errors.New("there is no record")
		}
		return err
	})
	return record
}

// message is what a record's signature is made over.
func (d *deployment) message(api auth.APIID, token string, body []byte) []byte {
	hash := sha256.Sum256([]byte(token))
	text := func(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
	return bytes.Join([][]byte{
		[]byte("countersign token-store record v1\x00"), text(d.settings.Issuer), text(seed.Inventory), api[:], hash[:], body,
	}, nil)
}

func TestTokenStoreDirectWithoutRedis(t *testing.T) {
	settings := instance.DefaultSettings()
	settings.TokenStoreDirect = true
	if err := settings.Validate(); err == nil || !strings.Contains(err.Error(), "token_store_direct") {
		t.Errorf("got %v", err)
	}
}
