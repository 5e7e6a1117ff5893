package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/up"
)

// metrics returns the metrics of a part, in the text format of Prometheus.
func (r *run) metrics(ctx context.Context, part up.PartStatus) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(part.Ready, "/readyz")+"/metrics", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("read the metrics of %s: %w", part.Name, err)
	}
	s, body := send(r.http, request)
	if s.Kind != OK {
		return "", fmt.Errorf("read the metrics of %s: %s", part.Name, s)
	}
	return string(body), nil
}

// byLabel adds up the series of a counter, of those that have all these labels, such as `pool="issuer"`, by the value of one label; if that is
// "" there is one sum.
func byLabel(text, name, label string, having ...string) map[string]int {
	all := map[string]int{}
	for line := range strings.Lines(text) {
		series, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		fits := true
		for _, one := range having {
			fits = fits && strings.Contains(series, one)
		}
		_, rest, _ := strings.Cut(series, label+`="`)
		by, _, _ := strings.Cut(rest, `"`)
		if label == "" {
			by = ""
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil && fits {
			all[by] += int(n)
		}
	}
	return all
}

// counts returns a counter of each of these parts.
func (r *run) counts(ctx context.Context, parts []up.PartStatus, name string) (map[string]int, error) {
	all := map[string]int{}
	for _, p := range parts {
		text, err := r.metrics(ctx, p)
		if err != nil {
			return nil, err
		}
		all[p.Name] = byLabel(text, name, "")[""]
	}
	return all, nil
}

// tokenRequests counts, by client, the requests for tokens in the access logs of the auth servers that ended from from to to.
func (r *run) tokenRequests(from, to time.Time) (map[string]int, error) {
	all := map[string]int{}
	for _, p := range r.instances("auth-") {
		for _, path := range []string{p.Log, p.Log + ".1"} { // a log that is full goes on in a new file
			if err := countTokens(path, from, to, all); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("read the access log of %s: %w", p.Name, err)
			}
		}
	}
	return all, nil
}

func countTokens(path string, from, to time.Time, into map[string]int) error {
	file, err := os.Open(path) //nolint:gosec // `up` says where its logs are
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line struct {
			Time   time.Time `json:"time"`
			Route  string    `json:"route"`
			Client string    `json:"client_id"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Client == "" || line.Route != "/oauth2/token" {
			continue // what a part says beside its log
		}
		if line.Time.Before(from) || line.Time.After(to) {
			continue
		}
		into[line.Client]++
	}
	return lines.Err() //nolint:wrapcheck // the caller says what was read
}
