package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxMetadata bounds what is read of an answer, in bytes.
const maxMetadata = 1 << 20

func (c Config) issuer() []step {
	if u, err := url.Parse(c.Issuer); strings.Contains(c.Issuer, "@") && (err != nil || u.User != nil) {
		return []step{single("issuer", func(_ context.Context, s step) Finding {
			return s.fail("it has a user or is malformed; it is not shown, since a password may stand there", "set issuer to the https URL at which services reach the servers")
		})}
	}
	return []step{
		single("issuer", func(_ context.Context, s step) Finding { return c.issuerForm(s) }),
		single("metadata", c.metadata),
	}
}

func (c Config) issuerForm(s step) Finding {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Hostname() == "":
		return s.fail(fmt.Sprintf("%q is no URL", c.Issuer), "set issuer to the https URL at which services reach the servers")
	case u.Scheme != "https" && !local(u.Host):
		return s.fail(c.Issuer+" is not https", "set issuer to an https URL: tokens and secrets go along it, and the SDK refuses it otherwise")
	case u.Scheme != "https":
		return s.ok(c.Issuer + ", for this machine alone")
	case strings.HasSuffix(c.Issuer, "/"):
		return s.warn(c.Issuer+" ends with a slash", "leave it away, unless services are configured with it: issuers are compared letter by letter")
	}
	return s.ok(c.Issuer)
}

// metadata asks for the document of RFC 8414 where the issuer says that it is: it must be of this issuer (§3.3).
func (c Config) metadata(ctx context.Context, s step) Finding {
	status, issuer, err := c.issuerAt(ctx, c.Issuer)
	return c.judgeMetadata(s, status, issuer, err)
}

func (c Config) judgeMetadata(s step, status int, issuer string, err error) Finding {
	switch {
	case err != nil:
		return s.warn("not answered: "+err.Error(), "if servers run, see to name, load balancer and certificate on the way to the issuer's URL")
	case status != http.StatusOK:
		return s.fail(fmt.Sprintf("answered with status %d", status), "see what listens at the issuer's URL, and whether the load balancer finds a server that is ready")
	case issuer != c.Issuer:
		return s.fail(fmt.Sprintf("answered with the issuer %q", issuer), "give all servers of a deployment the same setting issuer, which is the URL at which services reach them")
	}
	return s.ok("answered with the same issuer")
}

// issuerAt returns the issuer that the metadata names.
func (c Config) issuerAt(ctx context.Context, base string) (status int, issuer string, err error) {
	u, err := url.Parse(base)
	if err != nil {
		return 0, "", fmt.Errorf("read the URL: %w", err)
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return 0, "", fmt.Errorf("make the request: %w", err)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var document struct {
		Issuer string `json:"issuer"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxMetadata)).Decode(&document)
	if err != nil && response.StatusCode == http.StatusOK {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, document.Issuer, nil
}

// local reports whether a host, with or without port, is this machine by name or loopback address.
func local(host string) bool {
	if u, err := url.Parse("//" + host); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
