package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

func TestWhatIsAskedAboutAToken(t *testing.T) {
	const form = "\nAccept: application/json\nContent-Type: application/x-www-form-urlencoded\ntoken=presented&token_type_hint=access_token"
	w := newWire(t, answers(200, `{"active":false}`))
	a := w.authority(t, sdk.Secret(testSecret))
	answer, err := a.Introspect(t.Context(), "presented")
	if err != nil || string(answer.Body) != `{"active":false}` || w.last() != "POST /introspect"+basic()+form {
		t.Errorf("%v, asked %s", err, w.last())
	}
	if err := a.Revoke(t.Context(), "presented"); err != nil || w.last() != "POST /revoke"+basic()+form {
		t.Errorf("%v, asked %s", err, w.last())
	}
	w.answer = answers(403, `{"error":"access_denied"}`)
	if answer, err := a.Introspect(t.Context(), "presented"); err != nil || answer.Status != 403 {
		t.Errorf("a refusal is an answer: %v", err)
	}
	var refused *sdk.TokenError
	if err := a.Revoke(t.Context(), "presented"); !errors.As(err, &refused) || refused.Code != "access_denied" {
		t.Errorf("got %v", err)
	}
	w.answer = answers(503, ``) // both are asked twice, and a 503 is never a success
	before := len(w.seen)
	if err := a.Revoke(t.Context(), "presented"); !errors.Is(err, sdk.ErrUnavailable) || len(w.seen) != before+2 {
		t.Errorf("got %v after %d requests", err, len(w.seen)-before)
	}
	if _, err := a.Introspect(t.Context(), "presented"); err == nil || len(w.seen) != before+4 {
		t.Errorf("got %v after %d requests", err, len(w.seen)-before)
	}
}

func TestKeySet(t *testing.T) {
	for _, tt := range []struct {
		name, cacheControl string
		status             int
		age                time.Duration
		want               string
	}{
		{"age", "public, max-age=600", 200, 10 * time.Minute, ""},
		{"no age", "", 200, 0, ""},
		{"no-store is not the same as nothing said", "no-store", 200, time.Second, ""},
		{"404", "", 404, 0, "answered 404"},
		{"503", "", 503, 0, "answered 503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Cache-Control", tt.cacheControl)
				answers(tt.status, `{"keys":[]}`)(rw, r)
			})
			body, age, err := w.authority(t, nil).KeySet(t.Context())
			if err != nil || tt.want != "" {
				if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if string(body) != `{"keys":[]}` || age != tt.age || w.last() != "GET /jwks\nAccept: application/jwk-set+json, application/json" {
				t.Errorf("got %s, %s; asked %s", body, age, w.last())
			}
		})
	}
}

func TestPollFeed(t *testing.T) {
	w := newWire(t, answers(200, `{}`))
	w.methods = `["client_secret_basic","Bearer"]`
	began := time.Now()
	body, at, err := w.authority(t, sdk.Secret(testSecret)).PollFeed(t.Context(), "77.6")
	if err != nil || string(body) != `{}` || at.Before(began) || w.last() != "GET /feed?after=77.6"+basic()+"\nAccept: application/json" {
		t.Errorf("%v, asked %s", err, w.last())
	}
	_, _, err = w.authority(t, sdk.Secret(testSecret)).PollFeed(t.Context(), "")
	if err != nil || !strings.HasPrefix(w.last(), "GET /feed\n") {
		t.Errorf("%v, asked %s", err, w.last())
	}
}

func TestFeedByPOST(t *testing.T) {
	w := newWire(t, answers(200, `{}`))
	form := "\nAccept: application/json\nContent-Type: application/x-www-form-urlencoded\n"
	body := "client_id=" + testClient + "&client_secret=" + testSecret
	a := w.authority(t, sdk.SecretPost(testSecret))
	if _, _, err := a.PollFeed(t.Context(), "77.6"); err != nil || w.last() != "POST /feed"+form+"after=77.6&"+body {
		t.Errorf("%v, asked %s", err, w.last())
	}
	if _, _, err := a.PollFeed(t.Context(), ""); err != nil || w.last() != "POST /feed"+form+body {
		t.Errorf("%v, asked %s", err, w.last())
	}
}

func TestWhyTheFeedIsNotRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		auth    sdk.ClientAuth
		answer  http.HandlerFunc
		refused bool // somebody has to change the configuration
		want    string
	}{
		{"401", sdk.Secret(testSecret), answers(401, `{"error":"invalid_client","error_description":"no"}`), true, "registered for this method"},
		{"403", sdk.Secret(testSecret), answers(403, `{"error":"access_denied"}`), true, "revocations:read"},
		{"another method", sdk.SecretPost(testSecret), answers(405, ``), false, "answered 405"},
		{"no credentials", nil, answers(200, `{}`), true, "no client credentials"},
		{"400", sdk.Secret(testSecret), answers(400, `{"error":"invalid_request"}`), false, "answered 400 (invalid_request"},
		{"503", sdk.Secret(testSecret), answers(503, ``), false, "answered 503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, tt.answer)
			a := w.authority(t, tt.auth)
			_, _, polled := a.PollFeed(t.Context(), "")
			_, streamed := a.StreamFeed(t.Context(), "")
			for _, err := range []error{polled, streamed} {
				if err == nil || errors.Is(err, sdk.ErrFeedRefused) != tt.refused || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	w := newWire(t, answers(200, `{}`))
	w.lacks = "countersign_revocation_endpoint"
	if _, _, err := w.authority(t, sdk.Secret(testSecret)).PollFeed(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no revocation feed") {
		t.Errorf("got %v", err)
	}
}

func TestStreamFeed(t *testing.T) {
	left := make(chan struct{})
	w := newWire(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(rw, "data: {}\n\n")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		left <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := w.authority(t, sdk.Secret(testSecret), sdk.WithTimeout(5*time.Second))
	for _, end := range []func(io.Closer){
		func(c io.Closer) { _ = c.Close() },
		func(io.Closer) { cancel() },
	} {
		stream, err := a.StreamFeed(ctx, "77.6")
		if err != nil {
			t.Fatal(err)
		}
		const accept = "\nAccept: text/event-stream\nAccept-Encoding: identity"
		if w.last() != "GET /feed?after=77.6"+basic()+accept {
			t.Errorf("asked %s", w.last())
		}
		text := make([]byte, len("data: {}\n\n"))
		if _, err := io.ReadFull(stream, text); err != nil || !bytes.Equal(text, []byte("data: {}\n\n")) {
			t.Errorf("read %q, %v", text, err)
		}
		end(stream)
		<-left
		_ = stream.Close()
	}
	w.answer = answers(200, `{}`)
	if _, err := a.StreamFeed(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "something else than events") {
		t.Errorf("got %v", err)
	}
}

func TestTheTracerIsTold(t *testing.T) {
	w := newWire(t, answers(200, goodToken))
	var told tracer
	a := w.authority(t, sdk.Secret(testSecret), sdk.WithTracer(&told))
	_, _ = a.RequestToken(t.Context(), "")
	_, _ = a.Introspect(t.Context(), "presented")
	_, _, _ = a.KeySet(t.Context())
	_, _, _ = a.PollFeed(t.Context(), "")
	w.answer = answers(401, `{"error":"invalid_client"}`)
	_ = a.Revoke(t.Context(), "presented")
	const want = "countersign.metadata ok, countersign.token ok, countersign.introspect ok, countersign.jwks ok, countersign.revoke refused, "
	if string(told) != want {
		t.Errorf("told %s", told)
	}
}

// tracer takes down what it is told. The calls of its test come one after the other.
type tracer string

// Start implements sdk.Tracer.
func (o *tracer) Start(ctx context.Context, operation string) (context.Context, func(sdk.Outcome)) {
	return ctx, func(outcome sdk.Outcome) { *o += tracer(operation + " " + outcome.Result + ", ") }
}
