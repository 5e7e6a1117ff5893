package sqlstore

import (
	"context"
	"fmt"
	"strings"
)

// Facts are what a database says of itself, for whoever looks after it.
type Facts struct {
	Product   string   // MySQL, MariaDB or SQLite
	Version   string   // as the server tells it
	Supported bool     // whether Countersign is made for this version: MySQL from 8.0, MariaDB from 10.11, any SQLite
	TLS       string   // protocol and cipher of the connection; empty if it has none
	ReadOnly  bool     // whether it is a replica, or was made read-only
	Charset   string   // default of the schema
	Foreign   []string // tables that are not in utf8mb4
	Denied    []string // rights on the schema that the database user lacks, in the words of GRANT
}

// Facts asks the database. It changes nothing: which rights there are is tried on a table that does not exist.
func (s *Store) Facts(ctx context.Context) (Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.dialect.facts(ctx, s)
}

func sqliteFacts(ctx context.Context, s *Store) (Facts, error) {
	facts := Facts{Product: "SQLite", Supported: true}
	if err := s.read.QueryRowContext(ctx, "SELECT sqlite_version(), encoding FROM pragma_encoding").Scan(&facts.Version, &facts.Charset); err != nil {
		return facts, s.failed("read the version", err)
	}
	return facts, nil
}

func mysqlFacts(ctx context.Context, s *Store) (facts Facts, err error) {
	row := s.read.QueryRowContext(ctx, "SELECT VERSION(), @@global.read_only, @@character_set_database")
	if err := row.Scan(&facts.Version, &facts.ReadOnly, &facts.Charset); err != nil {
		return facts, s.failed("read the version", err)
	}
	facts.Product, facts.Supported = productOf(facts.Version)
	if facts.TLS, err = s.session(ctx); err != nil {
		return facts, err
	}
	foreign, err := s.texts(ctx, "list tables", "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "+
		"AND table_type = 'BASE TABLE' AND table_collation NOT LIKE 'utf8mb4%' ORDER BY table_name")
	if err != nil {
		return facts, err
	}
	facts.Foreign = foreign
	if !facts.ReadOnly { // where everything is refused, nothing is learnt
		facts.Denied, err = s.denials(ctx)
	}
	return facts, err
}

// productOf tells what made a version such as 8.4.3 or 11.8.6-MariaDB-0+deb13u1-log. Others speak the protocol, too.
func productOf(version string) (product string, supported bool) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return "MySQL", false
	}
	switch {
	case strings.Contains(version, "MariaDB"):
		return "MariaDB", major > 10 || major == 10 && minor >= 11
	case strings.Contains(version, "TiDB"), strings.Contains(version, "Vitess"):
		return "MySQL", false
	}
	return "MySQL", major >= 8
}

// session returns how the connection is encrypted.
func (s *Store) session(ctx context.Context) (string, error) {
	rows, err := s.read.QueryContext(ctx, "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')")
	if err != nil {
		return "", s.failed("read how the connection is encrypted", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	found := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return "", s.failed("read how the connection is encrypted", err)
		}
		found[name] = value
	}
	if err := rows.Err(); err != nil {
		return "", s.failed("read how the connection is encrypted", err)
	}
	return strings.TrimSpace(found["Ssl_version"] + " " + found["Ssl_cipher"]), nil
}

// absent is the table on which rights are tried: a server looks for the right before it looks for the table.
const absent = "countersign_absent"

// denials returns the rights that the database user lacks.
func (s *Store) denials(ctx context.Context) (lacking []string, err error) {
	for _, trial := range []struct{ right, statement string }{
		{"SELECT", "SELECT c FROM " + absent},
		{"INSERT", "INSERT INTO " + absent + " VALUES (1)"},
		{"UPDATE", "UPDATE " + absent + " SET c = 1"},
		{"DELETE", "DELETE FROM " + absent},
		{"CREATE", "CREATE TABLE " + absent + " LIKE " + absent + "_too"},
		{"ALTER", "ALTER TABLE " + absent + " ADD COLUMN c INT"},
		{"DROP", "DROP TABLE " + absent},
		{"INDEX", "CREATE INDEX c ON " + absent + " (c)"},
	} {
		_, err := s.write.ExecContext(ctx, trial.statement)
		switch {
		case err == nil:
			return nil, fmt.Errorf("try the right to %s: there is a table %s, which is none of ours", trial.right, absent)
		case s.dialect.classify(err) == denied:
			lacking = append(lacking, trial.right)
		case !noSuchTable(err):
			return nil, s.failed("try the right to "+trial.right, err)
		}
	}
	return lacking, nil
}

func (s *Store) texts(ctx context.Context, what, query string) (all []string, err error) {
	rows, err := s.read.QueryContext(ctx, query)
	if err != nil {
		return nil, s.failed(what, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, s.failed(what, err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed(what, err)
	}
	return all, nil
}
