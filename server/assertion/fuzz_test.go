package assertion_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/server/assertion"
	"github.com/countersign/countersign/server/auth"
)

// FuzzAssertion signs whatever comes by the client's own key: what is accepted has to be good by another reader, too.
func FuzzAssertion(f *testing.F) {
	w, key, good := newOwn(f)
	header := members{"alg": "ES256", "kid": "k1", "typ": "JWT"}
	f.Add(header.json(f), good.json(f))
	f.Add([]byte(`{"alg":"ES256","crit":["b64"],"b64":false}`), good.json(f))
	f.Add([]byte(`{"alg":"ES256","jwk":{}}`), good.with(members{"aud": []string{issuer, "x"}}).json(f))
	f.Add([]byte(`{"alg":"none","typ":"at+jwt"}`), []byte(`{"iss":"a","iss":"b","exp":1e99}`))
	for _, claim := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"} {
		f.Add(header.json(f), good.with(members{claim: nil}).json(f))
		f.Add(header.json(f), good.with(members{claim: []string{"x"}}).json(f))
	}
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		if len(header)+len(claims) > 8<<10 || len(header) == 0 || len(claims) == 0 {
			return
		}
		w.TB = t
		proven, err := w.check(auth.JWTBearer, key.signText(t, header, claims))
		if err != nil {
			return
		}
		var h, c map[string]any
		if err := errors.Join(json.Unmarshal(header, &h), json.Unmarshal(claims, &c)); err != nil {
			t.Fatalf("%q and %q are accepted: %v", header, claims, err)
		}
		kid, typ := h["kid"], strings.ToLower(fmt.Sprint(h["typ"]))
		if h["alg"] != "ES256" || kid != nil && kid != "" && kid != "k1" || strings.Contains(typ, "at+jwt") || h["crit"] != nil || h["jwk"] != nil {
			t.Errorf("%q is accepted", header)
		}
		if list, ok := c["aud"].([]any); ok && len(list) == 1 {
			c["aud"] = list[0]
		}
		id, _ := c["jti"].(string)
		if c["iss"] != w.id() || c["sub"] != w.id() || c["aud"] != issuer || id == "" || !timely(c) {
			t.Errorf("%q is accepted", claims)
		}
		if proven.Use == nil || !proven.Use.Expires.After(start()) {
			t.Errorf("%q may be used again: %+v", claims, proven)
		}
	})
}

// timely judges the times by what encoding/json reads.
func timely(claims map[string]any) bool {
	now := float64(start().Unix())
	expires, ok := claims["exp"].(float64)
	for _, name := range []string{"nbf", "iat"} {
		if at, said := claims[name].(float64); said && at > now+60 || claims[name] != nil && !said {
			return false
		}
	}
	return ok && expires > now-60 && expires <= now+3660
}

// FuzzClaimRules compares with encoding/json.
func FuzzClaimRules(f *testing.F) {
	f.Add([]byte(`{"kubernetes.io":{"namespace":"shop"}}`), "kubernetes.io", "namespace", "shop", false)
	f.Add([]byte(`{"sub":"repo:a/b:ref"}`), "sub", "", "repo:a/", true)
	f.Add([]byte(`{"sub":["repo:a/b"],"a":{"sub":"x"}}`), "sub", "", "repo", true)
	f.Add([]byte(`{"a":{"b":{"c":"d"}},"a.b":"d"}`), "a", "b", "d", false)
	f.Add([]byte(`{"a":null,"\u0061":"b"}`), "a", "", "b", false)
	f.Fuzz(func(t *testing.T, claims []byte, first, second, value string, prefix bool) {
		path := []string{first, second}
		if second == "" {
			path = path[:1]
		}
		match := auth.ClaimMatch{Path: path, Equals: value}
		if prefix {
			match = auth.ClaimMatch{Path: path, Prefix: value}
		}
		got := assertion.Matches(claims, &auth.FederationRule{Claims: []auth.ClaimMatch{match}})
		var read any
		err := json.Unmarshal(claims, &read)
		if got && (err != nil || value == "") {
			t.Fatalf("%q matches %+v: %v", claims, match, err)
		}
		for _, name := range path {
			object, _ := read.(map[string]any)
			read = object[name]
		}
		text, is := read.(string)
		want := is && value != "" && (text == value || prefix && strings.HasPrefix(text, value))
		if got && !want {
			t.Errorf("%q matches %+v", claims, match)
		}
		if want && !got && err == nil && strict(claims) {
			t.Errorf("%q does not match %+v", claims, match)
		}
	})
}

// strict tells whether the reader of assertions takes the claims at all: it matches a rule that any claims match which have the member.
func strict(claims []byte) bool {
	marked := append(slices.Clone(claims[:strings.LastIndexByte(string(claims), '}')]), `,"mark-of-the-test":"x"}`...)
	return assertion.Matches(marked, &auth.FederationRule{Claims: []auth.ClaimMatch{{Path: []string{"mark-of-the-test"}, Equals: "x"}}})
}
