package sdktest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

type feed struct {
	Generation string           `json:"generation"`
	Sequence   uint64           `json:"seq"`
	Age        *int64           `json:"age_ms"`
	Snapshot   bool             `json:"snapshot"`
	Entries    []map[string]any `json:"entries"`
}

func poll(t testing.TB, i *sdktest.Issuer, after string) feed {
	t.Helper()
	status, body, header := do(t, i, http.MethodGet, i.URL()+"/oauth2/revocations?after="+url.QueryEscape(after), nil)
	if status != 200 || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a poll was answered %d %s with %v", status, body, header)
	}
	return parseFeed(t, body)
}

func parseFeed(t testing.TB, text string) feed {
	t.Helper()
	var f feed
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("the answer %s: %v", text, err)
	}
	return f
}

func cursorOf(f feed) string { return fmt.Sprintf("%s.%d", f.Generation, f.Sequence) }

// shape is the names of the members, in the order of the text, of everything in it.
func shape(t *testing.T, text []byte) (names []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	var nested []bool // whether an object
	key := false
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		switch delim, isDelim := token.(json.Delim); {
		case isDelim && (delim == '{' || delim == '['):
			nested, key = append(nested, delim == '{'), delim == '{'
			names = append(names, delim.String())
		case isDelim:
			nested = nested[:len(nested)-1]
			key = len(nested) > 0 && nested[len(nested)-1]
			names = append(names, delim.String())
		case key:
			names = append(names, fmt.Sprint(token))
			key = false
		default:
			key = nested[len(nested)-1]
		}
	}
}

// TestFeedIsGolden makes the changes of the golden vectors and compares the answers, but for the values.
func TestFeedIsGolden(t *testing.T) {
	text, err := os.ReadFile("../testdata/feed.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name, After string
		Answer      json.RawMessage
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	i := sdktest.New()
	i.Age(41*time.Millisecond + time.Microsecond)
	i.RevokeAll()
	i.Skip(1)
	i.RevokeToken("01tRy6czI6jAOLpZvq3hw1")
	i.RevokeClient("cl_03mtwDFyaDSKmhf9rg7Ps2")
	i.RevokeGrant("cl_03mtwDFyaDSKmhf9rg7Ps2", "https://inventory.demo.internal")
	i.RevokeAPI("https://inventory.demo.internal")
	i.RevokeCredential("sec_07ZnsQVxAQufZPKJjMEpk4")
	i.RevokeKey("key_7n42DGM5Tflk9n8mt7Fhc7")
	generation, _, _ := strings.Cut(i.Cursor(), ".")
	for _, g := range golden {
		t.Run(g.Name, func(t *testing.T) {
			after := strings.Replace(g.After, "9223372036854788153", generation, 1)
			_, body, _ := do(t, i, http.MethodGet, i.URL()+"/oauth2/revocations?after="+after, nil)
			if want, got := shape(t, g.Answer), shape(t, []byte(body)); !slices.Equal(got, want) {
				t.Errorf("the answer has the members\n%v, want\n%v", got, want)
			}
			got, want := parseFeed(t, body), parseFeed(t, string(g.Answer))
			if got.Sequence != want.Sequence || *got.Age != *want.Age || got.Snapshot != want.Snapshot || got.Generation != generation {
				t.Errorf("the answer is %s", body)
			}
			for at := range got.Entries {
				for _, name := range []string{"exp", "api_id"} {
					delete(got.Entries[at], name)
					delete(want.Entries[at], name)
				}
				if !maps.Equal(got.Entries[at], want.Entries[at]) {
					t.Errorf("entry %d is %v, want %v", at, got.Entries[at], want.Entries[at])
				}
			}
		})
	}
}

func TestRevocationsRefuse(t *testing.T) {
	const audience = "https://inventory.test"
	for _, tt := range []struct {
		name   string
		revoke func(i *sdktest.Issuer, token string)
	}{
		{"token", func(i *sdktest.Issuer, token string) { i.Revoke(token) }},
		{"client", func(i *sdktest.Issuer, _ string) { i.RevokeClient(i.ClientID()) }},
		{"grant", func(i *sdktest.Issuer, _ string) { i.RevokeGrant(i.ClientID(), audience) }},
		{"api", func(i *sdktest.Issuer, _ string) { i.RevokeAPI(audience) }},
		{"credential", func(i *sdktest.Issuer, _ string) { i.RevokeCredential(i.Credential(i.ClientID())) }},
		{"key", func(i *sdktest.Issuer, _ string) { i.RevokeKey(i.Key().ID()) }},
		{"all", func(i *sdktest.Issuer, _ string) { i.RevokeAll() }},
		{"generation", func(i *sdktest.Issuer, _ string) { i.NewGeneration() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := sdktest.New()
			active := func(token string) bool {
				_, body, _ := do(t, i, http.MethodPost, i.URL()+"/oauth2/introspect", url.Values{"token": {token}})
				return strings.Contains(body, `"active":true`)
			}
			i.RevokeAll() // does not reach the tokens that are issued after it
			token := i.Token(audience)
			if !active(token) {
				t.Fatal("the token is not active")
			}
			tt.revoke(i, token)
			if active(token) {
				t.Error("the token is active still")
			}
			if again := active(i.Token(audience)); again == (tt.name == "key") {
				t.Errorf("a token that was issued after the revocation: active is %t", again)
			}
		})
	}
}

func TestFeedCursors(t *testing.T) {
	i := sdktest.New()
	for range 3 {
		i.RevokeAll()
	}
	first := poll(t, i, "")
	if !first.Snapshot || len(first.Entries) != 3 || first.Sequence != 3 || cursorOf(first) != i.Cursor() {
		t.Fatalf("the first answer is %+v", first)
	}
	i.Publish(sdktest.Entry{Kind: "moon phase"})
	if a := poll(t, i, cursorOf(first)); a.Snapshot || len(a.Entries) != 1 || a.Entries[0]["kind"] != "moon phase" {
		t.Errorf("after an entry the answer is %+v", a)
	}
	i.Lag(2)
	if a := poll(t, i, cursorOf(first)); !a.Snapshot || a.Sequence != 2 || len(a.Entries) != 2 {
		t.Errorf("an instance that lags answers %+v", a)
	}
	i.Lag(0)
	i.Forget()
	if a := poll(t, i, cursorOf(first)); !a.Snapshot || len(a.Entries) != 4 {
		t.Errorf("an old cursor is answered %+v", a)
	}
	i.NewGeneration()
	if a := poll(t, i, cursorOf(first)); !a.Snapshot || a.Generation == first.Generation || a.Sequence < 1<<32 || len(a.Entries) != 1 {
		t.Errorf("after a restore the answer is %+v", a)
	}
	for _, after := range []string{"x", "1", "1.", "1.x", ".1"} {
		if status, _, _ := do(t, i, http.MethodGet, i.URL()+"/oauth2/revocations?after="+after, nil); status != http.StatusBadRequest {
			t.Errorf("the cursor %q is answered %d", after, status)
		}
	}
}

func TestFeedEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New(sdktest.WithLifetime(time.Minute))
		i.Revoke(i.Token("a"))
		time.Sleep(time.Minute)
		if a := poll(t, i, ""); len(a.Entries) != 1 {
			t.Errorf("within the leeway there are %d entries", len(a.Entries))
		}
		time.Sleep(2 * time.Minute)
		if a := poll(t, i, ""); len(a.Entries) != 0 {
			t.Errorf("after the token's life there are %d entries", len(a.Entries))
		}
	})
}

// openStream opens the stream of events.
func openStream(t testing.TB, i *sdktest.Issuer, lastID string) (*bufio.Scanner, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.URL()+"/oauth2/revocations", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	req.SetBasicAuth(i.ClientID(), i.ClientSecret())
	resp, err := i.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return bufio.NewScanner(resp.Body), resp
}

// next returns the next line that is not empty, "" at the end.
func next(s *bufio.Scanner) string {
	for s.Scan() {
		if s.Text() != "" {
			return s.Text()
		}
	}
	return ""
}

func TestStream(t *testing.T) {
	for name, i := range newIssuers(t) {
		t.Run(name, func(t *testing.T) {
			i.RevokeAll()
			s, resp := openStream(t, i, "")
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("the stream is answered %d with %v", resp.StatusCode, resp.Header)
			}
			if line := next(s); line != ": countersign revocation feed" {
				t.Errorf("the first line is %q", line)
			}
			id, data := next(s), next(s)
			first := parseFeed(t, strings.TrimPrefix(data, "data: "))
			if id != "id: "+i.Cursor() || !first.Snapshot || first.Age != nil || len(first.Entries) != 1 {
				t.Errorf("the first event is %q %q", id, data)
			}
			i.RevokeClient("cl_x")
			id, data = next(s), next(s)
			second := parseFeed(t, strings.TrimPrefix(data, "data: "))
			if id != "id: "+i.Cursor() || second.Snapshot || len(second.Entries) != 1 || second.Entries[0]["client_id"] != "cl_x" {
				t.Errorf("the second event is %q %q", id, data)
			}
			again, _ := openStream(t, i, cursorOf(first))
			next(again)
			if id, data := next(again), next(again); id != "id: "+i.Cursor() || strings.Contains(data, "snapshot") {
				t.Errorf("a resumed stream begins with %q %q", id, data)
			}
			i.EndStreams()
			for _, s := range []*bufio.Scanner{s, again} {
				if line := next(s); line != "" || s.Err() != nil {
					t.Errorf("a stream goes on with %q, or its end is %v", line, s.Err())
				}
			}
			if got := i.Requests(sdktest.FeedStream); got != 2 {
				t.Errorf("%d streams were counted, want 2", got)
			}
		})
	}
}

func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New()
		defer i.Close()
		s, resp := openStream(t, i, i.Cursor())
		next(s)
		start := time.Now()
		i.Skip(3)
		if beat, id := next(s), next(s); beat != ": heartbeat" || id != "id: "+i.Cursor() {
			t.Errorf("the heartbeat is %q %q", beat, id)
		}
		if after := time.Since(start); after != 15*time.Second {
			t.Errorf("the heartbeat came after %v", after)
		}
		resp.Body.Close() // its goroutine ends by it, or the bubble does not
	})
}
