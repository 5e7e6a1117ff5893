package sdk_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// FuzzVerify: no text is accepted that the issuer did not make, and none is a panic.
func FuzzVerify(f *testing.F) {
	s := newService(f)
	foreign := serviceOf(f, sdktest.New(sdktest.WithoutFeed()))
	good := s.issuer.Token(api)
	for _, seed := range []string{
		"", ".", "..", "e30.e30.e30", "eyJ", good + "x", good[1:], sdktest.New().MintOpaque(sdktest.Claims{}), "cs_at_", "\x00", "é",
		jwe(nil, ""), sdktest.New().Token(api), s.issuer.Mint(sdktest.Claims{Lifetime: -time.Hour}),
		s.issuer.Mint(forged(`{"alg":"none"}`, nothing)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, v := range []*service{s, foreign} {
			i, err := v.Verify(t.Context(), token, sdk.Policy{})
			switch outcome(err) {
			case "401", "503":
			default:
				t.Errorf("%q: %v, %v", token, i, err)
			}
		}
	})
}

// FuzzClaims: of claims that the issuer signed none are accepted that encoding/json reads as bad ones, and none are a panic.
func FuzzClaims(f *testing.F) {
	s := newService(f)
	legacy := serviceOf(f, s.issuer, sdk.WithLegacyTokens())
	for _, seed := range []string{
		`{}`, `{"iss":1}`, string(twice("x")), string(twice("aud")), `{"exp":1e999}`, `{"act":{"act":{}}}`, `{"aud":[[]]}`, `{"scope":" a  b "}`,
		`{"iss":"https://issuer.test","sub":"c","aud":"` + api + `","exp":32503680000}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token := s.issuer.Mint(sdktest.Claims{RawPayload: payload})
		for _, v := range []*service{s, legacy} {
			i, err := v.Verify(t.Context(), token, sdk.Policy{})
			if err != nil {
				if kind := outcome(err); kind != "401" {
					t.Errorf("%q: %v", payload, err)
				}
				continue
			}
			var read struct {
				Issuer   string          `json:"iss"`
				Audience json.RawMessage `json:"aud"`
				Expires  float64         `json:"exp"`
			}
			if err := json.Unmarshal(payload, &read); err != nil {
				t.Errorf("%q: accepted, but %v", payload, err)
			}
			audience := []string{""}
			if json.Unmarshal(read.Audience, &audience) != nil {
				_ = json.Unmarshal(read.Audience, &audience[0])
			}
			if read.Issuer != s.issuer.URL() || !slices.Contains(audience, api) || read.Expires < float64(time.Now().Unix()-60) {
				t.Errorf("%q: accepted as %v", payload, i)
			}
		}
	})
}
