package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// connection is the settings that say where the admin API is and who asks. None is needed where a profile is.
type connection struct {
	Profile      string `name:"profile" help:"profile to use; by default the current one"`
	Issuer       string `name:"issuer" help:"issuer of the access token, in place of a profile"`
	AdminURL     string `name:"admin-url" help:"URL of the admin listener, in place of a profile; goes with --issuer"`
	ClientID     string `name:"client-id" help:"client to act as, in place of the profile's; its secret is needed too"`
	ClientSecret string `name:"client-secret" secret:"true" help:"secret of that client"`

	RequestTimeout time.Duration `name:"request-timeout" default:"30s" help:"how long to wait for one answer; for those of apply and audit verify, ten times as long"`
}

// target is where the commands go and as whom.
type target struct {
	profile  string // empty: none
	issuer   string
	adminURL string // empty: only tokens can be asked for
	clientID string
	own      bool   // clientID is not the profile's
	start    string // the command that starts the system, if it is known
	secret   string
	method   string // of authentication at the token endpoint; empty: client_secret_basic
}

// target makes out of settings and profiles what a command uses. A flag wins over the environment: --profile over COUNTERSIGN_ISSUER.
// A profile's secret is never sent to an issuer that comes from elsewhere.
func (c connection) target(flags *pflag.FlagSet, environ []string) (target, error) {
	if flags.Changed("client-secret") {
		return target{}, usagef("--client-secret would show the secret to everybody on this machine: use --client-secret-file or COUNTERSIGN_CLIENT_SECRET")
	}
	chosen := flags.Changed("profile")
	if chosen && (flags.Changed("issuer") || flags.Changed("admin-url")) {
		return target{}, usagef("--profile goes without --issuer and --admin-url: it names both")
	}
	own := c.ClientID != "" && (!chosen || flags.Changed("client-id"))
	if !own && flags.Changed("client-secret-file") {
		return target{}, usagef("--client-secret-file goes with --client-id: a profile has its own")
	}
	if err := validClient(c.ClientID); own && err != nil {
		return target{}, usagef("--client-id %w", err)
	}
	if own && c.ClientSecret == "" && !secretless(flags) {
		return target{}, usagef("the secret of client %s is missing: --client-secret-file FILE or COUNTERSIGN_CLIENT_SECRET", c.ClientID)
	}
	at, err := c.where(chosen, own, environ)
	if err != nil {
		return target{}, err
	}
	if own {
		at.clientID, at.secret, at.method, at.own = c.ClientID, c.ClientSecret, "", true
	}
	return at, nil
}

func (c connection) where(chosen, own bool, environ []string) (target, error) {
	if chosen || c.Issuer == "" && c.AdminURL == "" {
		return c.profiled(environ)
	}
	if c.Issuer == "" {
		return target{}, usagef("--admin-url goes with --issuer: from there the access token comes")
	}
	if !own {
		return target{}, usagef("--issuer goes with --client-id and --client-secret-file; or name a profile by --profile")
	}
	return target{issuer: c.Issuer, adminURL: c.AdminURL}, nil
}

// profiled returns what the chosen, current or only profile says.
func (c connection) profiled(environ []string) (target, error) {
	path, err := profilesPath(environ)
	if err != nil {
		return target{}, err
	}
	all, err := readProfiles(path)
	if err != nil {
		return target{}, err
	}
	names := slices.Sorted(maps.Keys(all.Profiles))
	name := c.Profile
	if name == "" {
		name = all.Current
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if found, ok := all.Profiles[name]; ok {
		return found.target(name)
	}
	switch {
	case len(names) == 0:
		return target{}, usagef("no profile says where the system is: start `countersign up`, which writes one, or add yours: " +
			"`countersign profile add NAME --issuer URL --admin-url URL --client-id ID --client-secret-file FILE`")
	case name == "":
		return target{}, usagef("no profile is current: `countersign profile use NAME` or --profile NAME, with one of %s", strings.Join(names, ", "))
	}
	return target{}, usagef("there is no profile %q: allowed is %s", name, strings.Join(names, ", "))
}

// secureURL reads a URL to which secrets may be sent: https, or http that does not leave this machine.
func secureURL(name, text string) (*url.URL, error) {
	if strings.Contains(text, "@") { // what stands before it may be a password
		return nil, fmt.Errorf("%s has a user: allowed is an https URL, or an http one on loopback, without user, query and fragment", name)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("%s is %q: allowed is an https URL, or an http one on loopback, without user, query and fragment", name, text)
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func validMethod(method string) error {
	switch method {
	case "", basic, post:
		return nil
	}
	return errors.New(`token_endpoint_auth_method is "` + method + `": allowed are ` + basic + " and " + post)
}

// validClient refuses what cannot be the id of a client: a token is asked for by the id, not by the name.
func validClient(id string) error {
	if !strings.HasPrefix(id, "cl_") {
		return fmt.Errorf("is %q: allowed is the client's id (cl_…), which `countersign client list` shows", id)
	}
	return nil
}
