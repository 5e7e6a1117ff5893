package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Answer is what a server answered with status 200.
type Answer struct {
	Body   []byte
	MaxAge time.Duration // for how long it may be used (RFC 9111 §5.2.2), a minute at least; 0: it is not said
}

// leastAge is the shortest that MaxAge says, also of an answer that is not to be kept: a key set that forbids to keep it would be asked
// for all the time.
const leastAge = time.Minute

// Get asks for a JSON document. It refuses what CheckURL refuses, any status but 200, any media type but application/json and
// application/jwk-set+json, and bodies beyond MaxBody. Errors are for the log; they hold neither the URL's query nor anything of the body.
func (c *Client) Get(ctx context.Context, rawURL string) (Answer, error) {
	t, err := c.parse(rawURL)
	if err != nil {
		return Answer{}, err
	}
	t.url.Host = strings.ToLower(t.url.Host) // as the names of hosts that are allowed
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), http.NoBody)
	if err != nil {
		return Answer{}, fmt.Errorf("get %s: %w", t.host, withoutURL(err))
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "countersign")
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("get from %s: %w", t.host, withoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	if err := acceptable(response); err != nil {
		return Answer{}, fmt.Errorf("get from %s: %w", t.host, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	if err != nil {
		return Answer{}, fmt.Errorf("read from %s: %w", t.host, err)
	}
	if len(body) > MaxBody {
		return Answer{}, fmt.Errorf("read from %s: more than %d bytes", t.host, MaxBody)
	}
	return Answer{Body: body, MaxAge: maxAge(response.Header["Cache-Control"])}, nil
}

// withoutURL takes off what net/http puts around an error, which has the whole URL in it.
func withoutURL(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}

func acceptable(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "application/jwk-set+json" {
		return fmt.Errorf("media type %.64q, want application/json or application/jwk-set+json", media)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("content encoding %.64q, want none", encoding)
	}
	if response.ContentLength > MaxBody {
		return fmt.Errorf("more than %d bytes", MaxBody)
	}
	return nil
}

// maxAge returns the first max-age; no-store and no-cache are the shortest.
func maxAge(headers []string) time.Duration {
	var age time.Duration
	for _, header := range headers {
		for directive := range strings.SplitSeq(strings.ToLower(header), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch name {
			case "no-store", "no-cache":
				return leastAge
			case "max-age":
				if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil && age == 0 {
					age = max(time.Duration(seconds)*time.Second, leastAge)
				}
			}
		}
	}
	return age
}
