package issuer_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

const (
	password  = "p%ss/w+rd & more"
	token     = "eyJhbGciOi.token.presented"
	assertion = "an assertion/+"
)

// confidential is a request with all the kinds of secrets that there are.
func confidential(endpoint string) issuer.Request {
	return issuer.Request{
		Method: http.MethodPost, URL: endpoint, Limit: 1 << 16, Form: url.Values{"token": {token}, "scope": {"inventory:read"}},
		Prepare: func(_ context.Context, h http.Header, form url.Values) error {
			pair := url.QueryEscape("cl_1") + ":" + url.QueryEscape(password)
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
			h.Set("DPoP", "proof-of-possession")
			form.Set("client_id", "cl_1")
			form.Set("client_assertion", assertion)
			return nil
		},
	}
}

// everything is what must not come back, in all the forms in which it was sent.
func everything() []string {
	pair := url.QueryEscape("cl_1") + ":" + url.QueryEscape(password)
	return []string{
		password, url.QueryEscape(password), base64.StdEncoding.EncodeToString([]byte(pair)), token, "proof-of-possession", assertion, url.QueryEscape(assertion),
	}
}

func TestAttack37WhatAServerEchoesIsNotRepeated(t *testing.T) {
	all := strings.Join(everything(), " and ") + " for cl_1 and inventory:read"
	quoted := fmt.Sprintf("%q", all)
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"server error", func(w http.ResponseWriter, _ *http.Request) {
			say(w, 503, `{"error":`+quoted+`,"error_description":`+quoted+`}`)
		}},
		{"refusal", func(w http.ResponseWriter, _ *http.Request) {
			say(w, 400, `{"error":`+quoted+`,"error_description":`+quoted+`}`)
		}},
		{"redirect", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.example/"+url.PathEscape(all)+"?"+all)
			w.WriteHeader(302)
		}},
		{"redirect, raw", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://"+token+".evil.example/"+token+"#"+token)
			w.WriteHeader(302)
		}},
		{"transport", func(http.ResponseWriter, *http.Request) { panic(errors.New("dump: " + all)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log journal
			i, _ := open(t, tt.serve, func(c *issuer.Config) { c.Log = log.logger() })
			answer, err := i.Do(t.Context(), confidential(identifier+"/x"))
			told := fmt.Sprintf("%v %s", err, log.String())
			if answer != nil {
				code, description := answer.Refusal()
				told = code + " " + description + fmt.Sprintf("%v %+v", answer.Header, answer.Began)
			}
			for _, secret := range everything() {
				if strings.Contains(told, secret) {
					t.Errorf("%q holds %q", told, secret)
				}
			}
			if !strings.HasPrefix(tt.name, "redirect") {
				contains(t, told, "[redacted]", "cl_1")
			}
		})
	}
}

func TestAttack37AnAnswerThatIsNoHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, said, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", said)
			}
			_ = conn.Close()
		}
	}()
	base := "http://" + listener.Addr().String()
	_, err = at(t, base, nil).Do(t.Context(), confidential(base+"/x"))
	_ = listener.Close()
	<-done
	if err == nil || strings.Contains(err.Error(), everything()[2]) {
		t.Errorf("got %v", err)
	}
	contains(t, err.Error(), "malformed HTTP", "[redacted]")
}

func TestRefusal(t *testing.T) {
	for _, tt := range []struct{ name, body, code, description string }{
		{"both", `{"error":"invalid_client","error_description":"no such client"}`, "invalid_client", "no such client"},
		{"code alone", `{"error":"invalid_scope"}`, "invalid_scope", ""},
		{"description alone", `{"error_description":"x"}`, "", ""},
		{"capitals are another name", `{"Error":"invalid_client"}`, "", ""},
		{"object", `{"error":{"code":1}}`, "", ""},
		{"description of another kind", `{"error":"x","error_description":7}`, "x", ""},
		{"page", `<html>`, "", ""},
		{"empty", ``, "", ""},
		{"attack 37 lines and colours", `{"error":"a\nb","error_description":"\u001b[31mred\r\nlevel=INFO é"}`, "a b", "?[31mred  level=INFO ?"},
		{"long", `{"error":"` + strings.Repeat("e", 200) + `","error_description":"` + strings.Repeat("d", 2000) + `"}`, strings.Repeat("e", 64), strings.Repeat("d", 300)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, _ := open(t, func(w http.ResponseWriter, _ *http.Request) { say(w, 400, tt.body) }, nil)
			answer, err := i.Do(t.Context(), issuer.Request{Method: "GET", URL: identifier + "/x", Limit: 1 << 16})
			if err != nil {
				t.Fatal(err)
			}
			if code, description := answer.Refusal(); code != tt.code || description != tt.description {
				t.Errorf("got %q, %q", code, description)
			}
		})
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_client","error_description":"no such client"}`), "Basic "+base64.StdEncoding.EncodeToString([]byte("a:secret")))
	f.Add([]byte(`{"error":"eyJ","error_description":"\u0007\ud83d\ude00 Bearer eyJ"}`), "Bearer eyJhbGciOiJ")
	f.Fuzz(func(t *testing.T, body []byte, authorization string) {
		n := &network{serve: func(w http.ResponseWriter, _ *http.Request) { say(w, 400, string(body)) }}
		i, err := issuer.New(issuer.Config{Identifier: identifier, HTTP: &http.Client{Transport: n}})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		answer, err := i.Do(t.Context(), issuer.Request{
			Method: "GET", URL: identifier + "/x", Limit: 1 << 16,
			Prepare: func(_ context.Context, h http.Header, _ url.Values) error {
				h["Authorization"] = []string{authorization}
				return nil
			},
		})
		if err != nil {
			return
		}
		code, description := answer.Refusal()
		if len(code) > 64 || len(description) > 300 || strings.ContainsFunc(code+description, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("got %q, %q", code, description)
		}
		if _, secret, _ := strings.Cut(authorization, " "); len(secret) >= 8 && !strings.Contains("[redacted]", secret) && strings.Contains(code+" "+description, secret) {
			t.Errorf("%q, %q hold %q", code, description, secret)
		}
	})
}
