package sdk_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// saved runs a verifier with a state file for a minute and returns what it wrote.
func saved(t *testing.T, issuer *sdktest.Issuer, path string, opts ...sdk.VerifierOption) []byte {
	t.Helper()
	s := startedService(t, issuer, append(opts, sdk.WithStateFile(path))...)
	_ = s.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestStateFileIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		s := startedService(t, issuer, sdk.WithStateFile(path))
		written := func() (text string, at time.Time) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw), s.Describe().StateFile.Written
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v, want mode 0600", info, err)
		}
		_, before := written()
		time.Sleep(30 * time.Second)
		if _, at := written(); !at.Equal(before) {
			t.Error("written though nothing changed")
		}
		s.issuer.RevokeToken("0000000000000000000001")
		time.Sleep(6 * time.Second)
		if text, at := written(); at.Equal(before) || !strings.Contains(text, "0000000000000000000001") {
			t.Error("not written when the feed changed")
		}
		time.Sleep(time.Minute)
		if _, at := written(); time.Since(at) > time.Minute {
			t.Errorf("written at %v, it is %v: not a minute's work", at, time.Now())
		}
		issuer.CutFeed(true)
		time.Sleep(10 * time.Second)
		_, before = written()
		time.Sleep(10 * time.Minute)
		if _, at := written(); !at.Equal(before) {
			t.Error("written though nothing was heard")
		}
		names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		if len(names) != 0 {
			t.Errorf("left behind: %v", names)
		}
	})
}

// Whatever is wrong with the file, the verifier starts without it, and says so once.
func TestStateFileIsPassedOver(t *testing.T) {
	member := func(name string, value any) func(*testing.T, string, []byte) []byte {
		return func(t *testing.T, _ string, text []byte) []byte {
			var members map[string]any
			if err := json.Unmarshal(text, &members); err != nil {
				t.Fatal(err)
			}
			members[name] = value
			text, _ = json.Marshal(members)
			return text
		}
	}
	for _, tt := range []struct {
		name  string
		alter func(t *testing.T, path string, text []byte) []byte
		age   time.Duration
		want  string // of a JWT while the issuer is down
		log   string
	}{
		{name: "good", want: "ok"},
		{name: "as old as the grace", age: 15*time.Minute - 2*time.Second, want: "ok"},
		{name: "older than the grace", age: 15*time.Minute + time.Second, want: "503", log: "grace"},
		{name: "from the future", alter: member("saved_at", "2000-01-01T00:00:16Z"), want: "503", log: "grace"},
		{name: "of another issuer", alter: member("issuer", "https://other.test"), want: "503", log: "other.test"},
		{name: "of another version", alter: member("version", 2), want: "503", log: "version 2"},
		{name: "keys that are none", alter: member("jwks", map[string]any{}), want: "503", log: "key set"},
		{name: "keys from the future", alter: member("jwks_fetched_at", "2001-01-01T00:00:00Z"), want: "503", log: "key set"},
		{name: "revocations that are none", alter: member("revocations", map[string]any{}), want: "503", log: "revocations"},
		{name: "cut off", alter: func(_ *testing.T, _ string, text []byte) []byte { return text[:len(text)/2] }, want: "503", log: "JSON"},
		{name: "empty", alter: func(*testing.T, string, []byte) []byte { return nil }, want: "503", log: "JSON"},
		{name: "others may write to it", want: "503", log: "only its owner", alter: func(t *testing.T, path string, text []byte) []byte {
			if err := os.Chmod(path, 0o620); err != nil {
				t.Fatal(err)
			}
			return text
		}},
		{name: "gone", want: "503", alter: func(_ *testing.T, path string, _ []byte) []byte {
			_ = os.Remove(path)
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				text := saved(t, issuer, path)
				if tt.alter != nil {
					text = tt.alter(t, path, text)
				}
				if _, err := os.Stat(path); err == nil {
					if err := os.WriteFile(path, text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				issuer.Down(true)
				time.Sleep(tt.age)
				var log bytes.Buffer
				s := serviceOf(t, issuer, sdk.WithStateFile(path), sdk.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				s.expect(t, "JWT", tt.want, issuer.Token(api), sdk.Policy{})
				if got := s.Describe().StateFile.Restored; got != (tt.want == "ok") {
					t.Errorf("restored: %v", got)
				}
				_ = s.Close()
				lines := strings.Count(log.String(), "state file passed over")
				if (lines == 1) != (tt.log != "") || !strings.Contains(log.String(), tt.log) {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

// That there is no feed is remembered too, but not of a verifier that did not look.
func TestStateFileWithoutFeed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		issuer []sdktest.Option
		before []sdk.VerifierOption
		after  []sdk.VerifierOption
		want   string
	}{
		{"foreign issuer", []sdktest.Option{sdktest.WithoutFeed()}, nil, nil, "ok"},
		{"feed was left alone", nil, []sdk.VerifierOption{sdk.WithoutRevocation()}, nil, "503"},
		{"feed is left alone", nil, nil, []sdk.VerifierOption{sdk.WithoutRevocation()}, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New(tt.issuer...)
				saved(t, issuer, path, tt.before...)
				issuer.Down(true)
				s := serviceOf(t, issuer, append(tt.after, sdk.WithStateFile(path))...)
				s.expect(t, "JWT", tt.want, issuer.Token(api), sdk.Policy{})
			})
		})
	}
}

// With something to go by, nobody waits long for an issuer that hangs.
func TestRestoredStateSavesTheWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		saved(t, issuer, path)
		release := issuer.Block()
		s := serviceOf(t, issuer, sdk.WithStateFile(path))
		began := time.Now()
		s.expect(t, "JWT", "ok", issuer.Token(api), sdk.Policy{})
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("waited %v, want the bound", waited)
		}
		release()
	})
}

// A busy feed does not make a busy disk.
func TestStateFileIsNotWrittenAllTheTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	synctest.Test(t, func(t *testing.T) {
		s := startedService(t, sdktest.New(), sdk.WithStateFile(path))
		written := map[time.Time]bool{}
		for range 200 {
			s.issuer.RevokeToken(rand22())
			time.Sleep(100 * time.Millisecond)
			written[s.Describe().StateFile.Written] = true
		}
		if n := len(written); n < 3 || n > 6 {
			t.Errorf("written %d times within 20 s, want every 5 s", n)
		}
	})
}

// A folder that is not there costs nothing but a line in the log.
func TestStateFileCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "state.json")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newService(t, sdk.WithStateFile(path), sdk.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		s.expect(t, "JWT", "ok", s.issuer.Token(api), sdk.Policy{})
		time.Sleep(10 * time.Minute)
		state := s.Describe().StateFile
		_ = s.Close()
		if n := strings.Count(log.String(), "state file not written"); n != 1 || state.LastError == "" {
			t.Errorf("%d lines in the log, state %+v", n, state)
		}
	})
}

// Describe tells how things are, in JSON, and nothing secret.
func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serviceOf(t, sdktest.New(sdktest.WithTokenStore()))
		if got := s.Describe().Revocations; got.Feed != "unknown" || got.LastError == "" {
			t.Errorf("before the start: %+v", got)
		}
		token := s.issuer.Token(api, "a")
		s.expect(t, "JWT", "ok", token, sdk.Policy{})
		s.expect(t, "JWT", "ok", token, sdk.Policy{})
		s.expect(t, "scope", "403", token, sdk.RequireScope("b"))
		s.expect(t, "garbage", "401", "garbage", sdk.Policy{})
		s.issuer.RevokeAll()
		time.Sleep(time.Second)
		state := s.Describe()
		r, k, n := state.Revocations, state.Keys, state.Tokens
		if state.Issuer != s.issuer.URL() || state.Audience != api || state.TokenStore != nil || state.StateFile != nil ||
			r.Feed != "followed" || !r.Good || r.LeaseLeft <= 0 || r.LeaseLeft > r.Bound || r.Bound != time.Second || r.Grace != 15*time.Minute ||
			r.Entries["all"] != 1 || !r.Streaming || r.LastError != "" || r.Polls == 0 ||
			len(k.Keys) != 1 || k.Keys[0].ID != s.issuer.Key().ID() || k.Fetches != 1 ||
			n.FromMemory != 1 || n.Accepted != 1 || n.InsufficientScope != 1 || n.Invalid != 1 || n.Unavailable != 0 || n.Signatures != 1 {
			t.Errorf("%+v", state)
		}
		s.issuer.CutFeed(true)
		time.Sleep(time.Minute)
		if r := s.Describe().Revocations; r.LeaseLeft != 0 || r.Age < 59*time.Second || r.LastError == "" || r.Streaming {
			t.Errorf("cut off: %+v", r)
		}
		text, err := json.Marshal(s.Describe())
		if err != nil || bytes.Contains(text, []byte(token)) || bytes.Contains(text, []byte(s.issuer.ClientSecret())) {
			t.Errorf("%s, %v", text, err)
		}
	})
}
