package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const (
	rounds = 9 // of which the median is told
	// slowDatabase: a token waits for some of these round trips.
	slowDatabase = 10 * time.Millisecond
)

// database looks at the database. The first look opens it for those that follow.
func (c Config) database() []step {
	var d Database
	var facts Facts
	all := []step{gate("database", func(ctx context.Context, s step) (found Finding) {
		d, facts, found = c.openDatabase(ctx, s)
		return found
	})}
	for _, one := range []struct {
		check string
		look  func(context.Context, step, Database, Facts) Finding
	}{
		{"database TLS", c.databaseTLS},
		{"database charset", databaseCharset},
		{"database rights", c.databaseRights},
		{"database latency", databaseLatency},
		{"database clock", func(ctx context.Context, s step, d Database, _ Facts) Finding {
			return c.compareClock(ctx, s, "the database", d.Clock)
		}},
		{"durability", durability},
		{"schema", c.schema},
		{"master key", c.masterKey},
	} {
		all = append(all, single(one.check, func(ctx context.Context, s step) Finding { return one.look(ctx, s, d, facts) }))
	}
	return all
}

func (c Config) openDatabase(ctx context.Context, s step) (Database, Facts, Finding) {
	cure := "start it, or correct address, user and password in the setting database"
	if c.DatabaseAddress == "" {
		cure = "correct the setting database, or let the user that runs the server read and write the file and its folder"
	}
	d, err := c.Database(ctx)
	if err != nil {
		return nil, Facts{}, s.fail(err.Error(), cure)
	}
	facts, err := d.Facts(ctx)
	if err != nil {
		return nil, Facts{}, s.fail(reason(err), cure)
	}
	found := facts.Product + " " + facts.Version
	if c.DatabaseAddress != "" {
		found += " at " + c.DatabaseAddress
	}
	switch {
	case !facts.Supported:
		return nil, Facts{}, s.fail(found+" is not supported", "use MySQL from 8.0, MariaDB from 10.11, or SQLite")
	case facts.ReadOnly:
		return nil, Facts{}, s.fail(found+" is read-only", "point the setting database at the primary, not at a replica")
	}
	return d, facts, s.ok(found)
}

// reason is the text of an error without the code, which is for programs.
func reason(err error) string {
	text := err.Error()
	if coded, ok := errors.AsType[*fault.Error](err); ok {
		text = strings.TrimPrefix(text, coded.Code.Error()+": ")
	}
	return text
}

func (c Config) databaseTLS(_ context.Context, s step, _ Database, facts Facts) Finding {
	switch {
	case c.DatabaseAddress == "":
		return s.ok("not needed: the database is a file")
	case facts.TLS == "" && local(c.DatabaseAddress):
		return s.ok("none: the database is on this machine")
	case facts.TLS == "":
		return s.warn("none: who listens on the way reads everything", "give the database a certificate, and add ?tls=true to the setting database")
	case c.DatabaseTLS != "true" && !local(c.DatabaseAddress):
		return s.warn(facts.TLS+", and the database's certificate is not checked", "add ?tls=true to the setting database")
	}
	return s.ok(facts.TLS)
}

func databaseCharset(_ context.Context, s step, _ Database, facts Facts) Finding {
	if len(facts.Foreign) > 0 {
		return s.fail("not utf8mb4: "+strings.Join(facts.Foreign, ", "), "convert each: ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	}
	return s.ok(facts.Charset)
}

func (c Config) databaseRights(_ context.Context, s step, _ Database, facts Facts) Finding {
	if c.DatabaseAddress == "" {
		return s.ok("not needed: the database is a file")
	}
	if len(facts.Denied) == 0 {
		return s.ok("all that are needed, on the schema")
	}
	found := "the database user lacks " + strings.Join(facts.Denied, ", ")
	for _, right := range facts.Denied {
		if slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, right) {
			return s.fail(found, "GRANT ALL PRIVILEGES ON the schema to the user of the setting database")
		}
	}
	cure := "GRANT these on the schema; without them expired tokens are deleted in small portions instead of by partition"
	if c.Migrate {
		cure += ", and upgrades need `countersign migrate up` by a user who has them"
	}
	return s.warn(found, cure)
}

func databaseLatency(ctx context.Context, s step, d Database, _ Facts) Finding {
	median, err := medianOf(func() error {
		_, err := d.Clock(ctx)
		return err
	})
	if err != nil {
		return s.fail(reason(err), "see to the database, or to the network between")
	}
	found := fmt.Sprintf("%s a round trip (median of %d)", rounded(median), rounds)
	if median > slowDatabase {
		return s.warn(found, "run servers beside the database: every token waits for some round trips")
	}
	return s.ok(found)
}

func medianOf(trip func() error) (time.Duration, error) {
	all := make([]time.Duration, rounds)
	for i := range all {
		began := time.Now()
		if err := trip(); err != nil {
			return 0, err
		}
		all[i] = time.Since(began)
	}
	slices.Sort(all)
	return all[rounds/2], nil
}

func rounded(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// compareClock tells how far this machine's clock and another one differ. When, between question and answer, the other was read is
// not known.
func (c Config) compareClock(ctx context.Context, s step, whose string, read func(context.Context) (time.Time, error)) Finding {
	const cure = "run NTP on both machines"
	own, began := c.Now(), time.Now()
	other, err := read(ctx)
	if err != nil {
		return s.fail(reason(err), "see whether it still answers")
	}
	uncertain := time.Since(began) / 2
	skew := own.Add(uncertain).Sub(other)
	if skew.Abs() <= max(2*uncertain, time.Millisecond) {
		return s.ok("as that of this machine")
	}
	way := "behind"
	if skew > 0 {
		way = "ahead of"
	}
	found := fmt.Sprintf("this machine is %v %s %s", rounded(skew.Abs()), way, whose)
	switch {
	case skew.Abs()-uncertain > auth.MaxSkew:
		return s.fail(fmt.Sprintf("%s: %v are allowed", found, auth.MaxSkew), cure)
	case skew.Abs()-uncertain > auth.MaxSkew/10:
		return s.warn(found, cure)
	}
	return s.ok(found)
}

func durability(ctx context.Context, s step, d Database, _ Facts) Finding {
	warnings, err := d.Durability(ctx)
	switch {
	case err != nil:
		return s.fail(reason(err), "see whether the database still answers")
	case len(warnings) > 0:
		return s.warn(strings.Join(warnings, "; "), "set what is named: a token that a client holds must survive a crash of the database")
	}
	return s.ok("what is committed survives a crash")
}

func (c Config) schema(ctx context.Context, s step, d Database, facts Facts) Finding {
	found, err := d.Schema(ctx)
	if err == nil {
		return s.ok(found)
	}
	if found != "" && c.Migrate && len(facts.Denied) == 0 { // it is behind
		return s.ok(found + ": the next start of a server brings it up to date")
	}
	return s.fail(reason(err), "run `countersign migrate up`, or the version of Countersign that fits")
}

// masterKey looks whether the file holds the key of this database. What is wrong with the file itself is a check of its own.
func (c Config) masterKey(ctx context.Context, s step, d Database, _ Facts) Finding {
	const cure = "put back the key with which the database was made, or last resealed (setting master_key_file)"
	sealed, err := d.SealedKeys(ctx)
	if err != nil {
		return s.fail(reason(err), "see whether the database still answers")
	}
	if len(sealed) == 0 {
		return s.ok("the database has no keys yet: the first start of a server makes them")
	}
	master, err := seal.ReadKeyFile(c.MasterKeyFile)
	if err != nil {
		return s.fail("the database has keys, and there is no key to open them", cure)
	}
	if err := keys.CheckMaster(sealed, master); err != nil {
		return s.fail(err.Error(), cure)
	}
	return s.ok("opens the keys of this database")
}
