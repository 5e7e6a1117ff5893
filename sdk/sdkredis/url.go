package sdkredis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	schemePlain    = "redis"
	schemeTLS      = "rediss"
	schemeSentinel = "redis+sentinel"

	defaultPort         = "6379"
	defaultSentinelPort = "26379"
	defaultPoolSize     = 32
	maxPoolSize         = 1000
)

// address is a Redis URL taken apart.
type address struct {
	scheme           string
	hosts            []string // host:port; of Sentinels if primary is set
	primary          string   // the name that Sentinels know the primary by
	username         string
	password         string
	sentinelUsername string
	sentinelPassword string
	db               int
	poolSize         int
}

// String returns the address without anything secret.
func (a address) String() string {
	text := a.scheme + "://" + strings.Join(a.hosts, ",")
	if a.primary != "" {
		text += "/" + a.primary
	}
	return text + "/" + strconv.Itoa(a.db)
}

// parse takes the URL apart by hand: package url refuses a list of hosts, and its errors quote the password. The forms are those of
// the server's setting token_store.
func parse(text string) (a address, err error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return a, errors.New("it must begin with redis://, rediss:// or redis+sentinel://")
	}
	a.scheme = scheme
	switch scheme {
	case schemePlain, schemeTLS, schemeSentinel:
	case "redis+cluster", "rediss+cluster":
		return a, errors.New("redis+cluster:// is not supported: the client library cannot read what Redis 7 answers to " +
			"CLUSTER SLOTS and COMMAND; use redis+sentinel:// for failover, or redis:// for one server")
	default:
		return a, errors.New("the scheme is unknown; allowed are redis://, rediss:// and redis+sentinel://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := a.setUser(authority[:at]); err != nil {
			return a, err
		}
		authority = authority[at+1:]
	}
	if err := a.setHosts(authority); err != nil {
		return a, err
	}
	if err := a.setPath(path); err != nil {
		return a, err
	}
	return a, a.setOptions(query)
}

func (a *address) setUser(text string) error {
	username, password, found := strings.Cut(text, ":")
	if !found || password == "" {
		return errors.New("a user needs a password: write user:password@, or :password@ for the default user")
	}
	var errs [2]error
	a.username, errs[0] = url.PathUnescape(username)
	a.password, errs[1] = url.PathUnescape(password)
	if errs[0] != nil || errs[1] != nil {
		return errors.New("user and password must be percent-encoded")
	}
	return nil
}

func (a *address) setHosts(text string) error {
	port := defaultPort
	if a.scheme == schemeSentinel {
		port = defaultSentinelPort
	}
	for host := range strings.SplitSeq(text, ",") {
		if bare := strings.HasSuffix(host, "]"); bare || !strings.Contains(host, ":") {
			host += ":" + port
		}
		name, number, err := net.SplitHostPort(host)
		if value, bad := strconv.ParseUint(number, 10, 16); err != nil || bad != nil || value == 0 || name == "" || strings.ContainsAny(name, "@/[] ") {
			return errors.New("a host must be written as host or host:port, with user and password percent-encoded before an @")
		}
		a.hosts = append(a.hosts, net.JoinHostPort(name, number))
	}
	if a.scheme != schemeSentinel && len(a.hosts) > 1 {
		return fmt.Errorf("%s:// takes one host; several are for redis+sentinel://", a.scheme)
	}
	return nil
}

func (a *address) setPath(path string) error {
	db := path
	if a.scheme == schemeSentinel {
		if a.primary, db, _ = strings.Cut(path, "/"); a.primary == "" {
			return errors.New("redis+sentinel:// needs the name of the primary: redis+sentinel://host:port/name/db")
		}
	}
	if db == "" {
		return nil
	}
	number, err := strconv.Atoi(db)
	if err != nil || number < 0 {
		return errors.New("the number of the database must be 0 or more")
	}
	a.db = number
	return nil
}

func (a *address) setOptions(query string) error {
	a.poolSize = defaultPoolSize
	options, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options after ? must be name=value, joined by & and percent-encoded")
	}
	for name, values := range options {
		if !slices.Contains(a.options(), name) {
			return fmt.Errorf("option %q is unknown; allowed are %s", name, strings.Join(a.options(), ", "))
		}
		switch value := values[0]; name {
		case "pool_size":
			a.poolSize, err = strconv.Atoi(value)
			if err != nil || a.poolSize < 1 || a.poolSize > maxPoolSize {
				return fmt.Errorf("pool_size %q: must be 1 to %d", value, maxPoolSize)
			}
		case "sentinel_username":
			a.sentinelUsername = value
		case "sentinel_password":
			a.sentinelPassword = value
		}
	}
	return nil
}

func (a *address) options() []string {
	if a.scheme == schemeSentinel {
		return []string{"pool_size", "sentinel_username", "sentinel_password"}
	}
	return []string{"pool_size"}
}
