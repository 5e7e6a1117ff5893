// Package doctor looks at the surroundings of a server (database, Redis, keys, certificate, clocks, ports, limits) and says what
// to mend. It changes nothing but for one short-lived record in the token store, and shows no secret.
package doctor

import (
	"context"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/server/auth"
)

// Within is how long one look may take before it counts as failed.
const Within = 5 * time.Second

// Level is how bad a finding is.
type Level string

// The levels, from good to bad.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, and will cost something one day
	Fail Level = "fail" // a server does not work like this, or is not safe
)

// Finding is one line of the examination.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`
	Cure  string `json:"cure,omitempty"` // what to do; empty if the level is OK
}

// Database is what is examined of a database.
type Database interface {
	Facts(ctx context.Context) (Facts, error)
	Clock(ctx context.Context) (time.Time, error)
	// Schema says how the schema stands, or returns an error that says what to do.
	Schema(ctx context.Context) (string, error)
	// Durability returns a warning for each setting that lets a crash take what was committed.
	Durability(ctx context.Context) ([]string, error)
	// SealedKeys returns the keys that the master key must open; none if the database is new.
	SealedKeys(ctx context.Context) ([]*auth.SealedKey, error)
}

// Facts are what a database says of itself.
type Facts struct {
	Product   string
	Version   string
	Supported bool
	TLS       string   // protocol and cipher of the connection; empty if it has none
	ReadOnly  bool     // whether it is a replica, or was made read-only
	Charset   string   // default of the schema
	Foreign   []string // tables that are not in utf8mb4
	Denied    []string // rights that the database user lacks
}

// Config is what a server is set to, and what the examination needs besides.
type Config struct {
	Wrong          []string // what is wrong with the settings by themselves
	Issuer         string
	Listen         string
	AdminListen    string
	TLSCert        string
	TLSKey         string
	MasterKeyFile  string
	TrustedProxies []string
	Migrate        bool // whether a server changes the schema itself

	Database        func(context.Context) (Database, error) // opens it
	DatabaseAddress string                                  // host:port; empty for a file
	DatabaseTLS     string                                  // the parameter tls of its URL

	Redis       *redisconn.Conn // nil: the token store is in the process
	RedisUser   bool            // whether its URL has a user or a password
	HintChannel string          // of Redis

	HTTP *http.Client     // asks the issuer for its metadata
	Now  func() time.Time // this machine's clock
	Root fs.FS            // this machine's /, for /proc and /sys
}

// Examine looks at everything at once, and returns what it found in the order of the documentation.
func Examine(ctx context.Context, c Config) []Finding {
	return examine(ctx, [][]step{c.settings(), c.database(), c.redis(), c.keyFile(), c.issuer(), c.certificate(), c.proxies(), c.ports(), c.machine()})
}

// step is one look at something. It returns false where those after it have nothing to look at.
type step struct {
	check string // named if it does not end in time
	look  func(context.Context) ([]Finding, bool)
}

// examine does the lists of steps side by side, each step after the one before.
func examine(ctx context.Context, lists [][]step) (all []Finding) {
	found := make([][]Finding, len(lists))
	var looking sync.WaitGroup
	for i, steps := range lists {
		looking.Go(func() {
			for _, s := range steps {
				findings, on := s.within(ctx)
				found[i] = append(found[i], findings...)
				if !on {
					return
				}
			}
		})
	}
	looking.Wait()
	for _, findings := range found {
		all = append(all, findings...)
	}
	return all
}

// within gives the step its time. One that hangs is left behind, and ends with the process.
func (s step) within(ctx context.Context) ([]Finding, bool) {
	ctx, cancel := context.WithTimeout(ctx, Within)
	defer cancel()
	type outcome struct {
		findings []Finding
		on       bool
	}
	ended := make(chan outcome, 1)
	go func() {
		findings, on := s.look(ctx)
		ended <- outcome{findings, on}
	}()
	select {
	case o := <-ended:
		return o.findings, o.on
	case <-ctx.Done():
		return []Finding{s.fail("no answer within "+Within.String(), "see whether it hangs, or a firewall drops what is sent to it")}, false
	}
}

func (s step) ok(found string) Finding         { return Finding{s.check, OK, found, ""} }
func (s step) warn(found, cure string) Finding { return Finding{s.check, Warn, found, cure} }
func (s step) fail(found, cure string) Finding { return Finding{s.check, Fail, found, cure} }

// single makes a step of a look that has one finding, whatever it is.
func single(check string, look func(context.Context, step) Finding) step {
	s := step{check: check}
	s.look = func(ctx context.Context) ([]Finding, bool) { return []Finding{look(ctx, step{check: check})}, true }
	return s
}

// gate is single for a look without which those after it are in vain: they are left out if it fails.
func gate(check string, look func(context.Context, step) Finding) step {
	s := step{check: check}
	s.look = func(ctx context.Context) ([]Finding, bool) {
		found := look(ctx, step{check: check})
		return []Finding{found}, found.Level != Fail
	}
	return s
}

func (c Config) settings() []step {
	return []step{{check: "settings", look: func(context.Context) ([]Finding, bool) {
		var all []Finding
		for _, wrong := range c.Wrong {
			all = append(all, Finding{"settings", Fail, wrong, "correct it: `countersign server --help` lists every setting with what is allowed"})
		}
		if len(all) == 0 {
			all = []Finding{{"settings", OK, "all of them fit", ""}}
		}
		return all, true
	}}}
}
