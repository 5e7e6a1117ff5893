package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// journal is a log that can be asked what is in it.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(j, nil)) }

// of returns the records with this message, of all if it is empty.
func (j *journal) of(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if message == "" || record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

// An SDK whose user gives no logger is not silent: it logs where the service does.
func TestLogsByDefault(t *testing.T) {
	var log journal
	before := slog.Default()                      //nolint:forbidigo // it is what is tested
	slog.SetDefault(log.logger())                 //nolint:forbidigo // it is what is tested
	t.Cleanup(func() { slog.SetDefault(before) }) //nolint:forbidigo // it is what is tested
	issuer := sdktest.New(sdktest.WithTokenStore())
	client := newClient(t, issuer, nil, sdk.WithMaxWait(10*time.Millisecond))
	s := serviceOf(t, issuer, sdk.WithTokenStore(issuer.Records(), sdktest.APIID(api)))
	slog.SetDefault(before) //nolint:forbidigo // what counts is the time when they were made

	issuer.Down(true)
	_ = client.TokenSource(warehouse, "b", "a").Ready(t.Context())
	s.expect(t, "down", "503", issuer.Mint(sdktest.Claims{}), sdk.Policy{})
	var messages []string
	for _, record := range log.of(t, "") {
		messages = append(messages, record["msg"].(string))
		if record["component"] != "countersign" || record["issuer"] != issuer.URL() || record["client_id"] != issuer.ClientID() {
			t.Errorf("%v says not of whom it is", record)
		}
		switch record["msg"] {
		case "refresh fails":
			if record["resource"] != warehouse || record["scope"] != "a b" {
				t.Errorf("%v says not of which token", record)
			}
		case "tokens cannot be checked":
			if record["audience"] != api {
				t.Errorf("%v says not of which audience", record)
			}
		}
	}
	for _, want := range []string{"refresh fails", "tokens cannot be checked", "authorization server is unavailable"} {
		if !slices.Contains(messages, want) {
			t.Errorf("no %q among %q", want, messages)
		}
	}
}

// A start that goes well is worth no line.
func TestStartIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		s := newService(t, sdk.WithLogger(log.logger()))
		s.expect(t, "JWT", "ok", s.issuer.Mint(sdktest.Claims{}), sdk.Policy{}.Strict())
		s.expect(t, "opaque", "ok", s.issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
		s.expect(t, "garbage", "401", "garb age", sdk.Policy{})
		time.Sleep(time.Hour)
		if lines := log.of(t, ""); len(lines) > 0 {
			t.Errorf("%v", lines)
		}
	})
}

// Who reads the log hears once that tokens cannot be checked, and once that they can be again.
func TestOutageIsToldOnce(t *testing.T) {
	const begins, ends = "tokens cannot be checked", "tokens can be checked again"
	synctest.Test(t, func(t *testing.T) {
		var log journal
		s := newService(t, sdk.WithLogger(log.logger()))
		token, strict := s.issuer.Mint(sdktest.Claims{}), sdk.Policy{}.Strict()
		s.expect(t, "before", "ok", token, strict)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Verify(gone, s.issuer.MintOpaque(sdktest.Claims{}), strict); outcome(err) != "503" || len(log.of(t, begins)) != 0 {
			t.Errorf("a caller who has gone is told %v, the log %v", err, log.of(t, ""))
		}
		for n := range 2 {
			s.issuer.Down(true)
			time.Sleep(5 * time.Second)
			for range 100 {
				s.expect(t, "down", "503", token, strict)
				time.Sleep(100 * time.Millisecond)
				s.expect(t, "a route that goes on", "ok", token, sdk.Policy{})
				time.Sleep(time.Duration(n) * time.Second) // so seldom that a minute passes without: the outage is the same
			}
			time.Sleep(time.Minute)
			s.expect(t, "a route that goes on", "ok", token, sdk.Policy{})
			if began, over := log.of(t, begins), log.of(t, ends); len(began) != n+1 || len(over) != n {
				t.Fatalf("while it is down: began %v, over %v", began, over)
			}
			s.issuer.Down(false)
			time.Sleep(time.Minute)
			for range 10 {
				s.expect(t, "afterwards", "ok", token, strict)
			}
			over := log.of(t, ends)
			if len(over) != n+1 || len(log.of(t, begins)) != n+1 {
				t.Fatalf("afterwards: %v", over)
			}
			if record := over[n]; record["count"] != 100.0 || time.Duration(record["duration"].(float64)) < 9*time.Second {
				t.Errorf("%v", record)
			}
		}
		if cause, _ := log.of(t, begins)[0]["error"].(string); !strings.Contains(cause, "introspect") {
			t.Errorf("the cause is %q", cause)
		}
	})
}

// Where there is no feed an outage is over when for a while no token was unavailable, also if they are answered from memory.
func TestForeignOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		s := serviceOf(t, sdktest.New(sdktest.WithoutFeed()), sdk.WithLogger(log.logger()))
		token := s.issuer.Mint(sdktest.Claims{})
		s.expect(t, "before", "ok", token, sdk.Policy{})
		s.issuer.Fail(sdktest.Failure{Times: 1000}, sdktest.IntrospectionEndpoint)
		s.expect(t, "down", "503", token, sdk.Policy{}.Strict())
		time.Sleep(9 * time.Second)
		s.expect(t, "too soon to tell", "ok", token, sdk.Policy{})
		s.expect(t, "garbage", "401", "garb age", sdk.Policy{})
		if over := log.of(t, "tokens can be checked again"); len(over) != 0 {
			t.Errorf("too soon: %v", over)
		}
		time.Sleep(time.Second)
		s.expect(t, "from memory", "ok", token, sdk.Policy{})
		if over := log.of(t, "tokens can be checked again"); len(over) != 1 || over[0]["count"] != 1.0 || over[0]["client_id"] != s.issuer.ClientID() {
			t.Errorf("%v", over)
		}
	})
}
