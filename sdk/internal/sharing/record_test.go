package sharing_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/sharing"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","scope":["a"],"began":1000,"expires":2000}`))
	f.Add([]byte(`{"access_token":"a","began":-9223372036854775808,"expires":9223372036854775807}`))
	f.Add([]byte(`{"access_token":"a b","began":9223372036854775806,"expires":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		now := time.UnixMilli(1500)
		token, err := sharing.Decode(plain, now)
		if err != nil {
			return
		}
		if token.AccessToken == "" || token.Lifetime <= 0 || token.Began.After(now) {
			t.Errorf("%q: began %v, lives %v", plain, token.Began, token.Lifetime)
		}
	})
}

func TestShared_StoreKeepsNothingLegible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		expect(t, f.instance(), "", "access-1")
		f.store.change(t, func(key string, v *value) {
			for _, word := range []string{"access-1", "hunter2", "cl_1", "api.test"} {
				if strings.Contains(key, word) || bytes.Contains(v.text, []byte(word)) {
					t.Errorf("%q is in the store", word)
				}
			}
			if left := time.Until(v.ends); left > 70*time.Second {
				t.Errorf("kept for %v, which is longer than anybody would take it", left)
			}
		})
	})
}

func TestShared_RecordsThatAreNotOurs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*value)
	}{
		{"empty", func(v *value) { v.text = []byte{} }},
		{"one byte", func(v *value) { v.text = v.text[:1] }},
		{"cut", func(v *value) { v.text = v.text[:len(v.text)-1] }},
		{"another version", func(v *value) { v.text[0]++ }},
		{"another nonce", func(v *value) { v.text[1] ^= 1 }},
		{"another text", func(v *value) { v.text[20] ^= 1 }},
		{"longer", func(v *value) { v.text = append(v.text, 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				expect(t, f.instance(), "", "access-1")
				f.store.change(t, func(_ string, v *value) { tt.change(v) })
				expect(t, f.instance(), "", "access-2")
				expect(t, f.instance(), "", "access-2")
				if !strings.Contains(f.log.String(), "record of shared token") || strings.Contains(f.log.String(), "access-") {
					t.Errorf("log: %s", &f.log)
				}
			})
		})
	}
}

const year = 365 * 24 * time.Hour

// A record of another instance, whose clock differs.
func TestShared_Clocks(t *testing.T) {
	for _, tt := range []struct {
		name     string
		ahead    time.Duration
		lifetime time.Duration
		taken    bool
		age      time.Duration
	}{
		{"the same", 0, 100 * time.Second, true, 0},
		{"a minute ahead", time.Minute, 100 * time.Second, true, 0},
		{"more than a minute ahead", time.Minute + 10*time.Millisecond, 100 * time.Second, false, 0},
		{"a minute behind", -time.Minute, 100 * time.Second, true, time.Minute},
		{"eleven years behind", -11 * year, 20 * year, false, 0},
		{"a life of eleven years", 0, 11 * year, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.takes = 0
				writer := f.instance(func(c *sharing.Config) { c.Fetch = f.by(tt.ahead, tt.lifetime) })
				expect(t, writer, "", "access-1")
				if !tt.taken {
					expect(t, f.instance(), "", "access-2")
					return
				}
				got := expect(t, f.instance(), "", "access-1")
				if age := time.Since(got.Began); age != tt.age || got.Lifetime != 100*time.Second {
					t.Errorf("age %v, life %v; want %v, 100 s", age, got.Lifetime, tt.age)
				}
			})
		})
	}
}
