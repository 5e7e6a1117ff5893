package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

const allowedURLs = "allowed are mysql://user:password@host:port/database and sqlite:PATH"

// opener opens the pools of a store.
type opener func(context.Context, *Store, Config) error

// parseURL picks the dialect. No part of the URL gets into an error but its scheme and the names and values of its
// parameters: the rest may hold a password, even where it does not belong.
func parseURL(text string) (opener, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case !found:
		return nil, errors.New("the database URL has no scheme; " + allowedURLs)
	case scheme == "mysql":
		c, err := parseMySQL(text)
		if err != nil {
			return nil, err
		}
		return func(_ context.Context, s *Store, o Config) error { return openMySQL(s, o, c) }, nil
	case scheme == "sqlite":
		if rest == "" || strings.HasPrefix(rest, "//") || rest == ":memory:" {
			return nil, errors.New("the database URL names no file; write sqlite:PATH, such as sqlite:countersign.db or sqlite:/var/lib/countersign/db")
		}
		return func(ctx context.Context, s *Store, o Config) error { return openSQLite(ctx, s, o, rest) }, nil
	}
	return nil, errors.New("the database URL has an unknown scheme; " + allowedURLs)
}

func parseMySQL(text string) (*mysql.Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("the database URL is malformed (percent-encode special characters of the password); " + allowedURLs)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if u.User.Username() == "" || u.Hostname() == "" || name == "" || strings.Contains(name, "/") {
		return nil, errors.New("the database URL lacks a user, a host or a database name (percent-encode special characters of the password); " + allowedURLs)
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.DBName, c.TLSConfig = u.User.Username(), "tcp", name, "preferred"
	c.Passwd, _ = u.User.Password()
	c.Addr = u.Host
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the parameters of the database URL are malformed; allowed is tls")
	}
	for key, values := range query {
		modes := []string{"false", "preferred", "true", "skip-verify"}
		if key != "tls" {
			return nil, fmt.Errorf("the database URL has the unknown parameter %q; allowed is tls", key)
		}
		if len(values) != 1 || !slices.Contains(modes, values[0]) {
			return nil, fmt.Errorf("the parameter tls of the database URL is %q; allowed is one of %s", values, strings.Join(modes, ", "))
		}
		c.TLSConfig = values[0]
	}
	return c, nil
}
