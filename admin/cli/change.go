package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/countersign/countersign/admin/wire"
)

// change reads a thing and changes it by PATCH or PUT, only if nobody else does meanwhile.
func (r *remote) change(ctx context.Context, at, method string, body any) (answer, error) {
	now, err := r.do(ctx, request{method: http.MethodGet, path: at})
	if err != nil {
		return answer{}, err
	}
	return r.do(ctx, request{method: method, path: at, body: body, match: now.etag})
}

// remove asks, and then deletes what it had read before it asked.
func (s *session) remove(ctx context.Context, at, what string) error {
	now, err := s.api.do(ctx, request{method: http.MethodGet, path: at})
	if err != nil {
		return err
	}
	if err := s.confirm("%s", what); err != nil {
		return err
	}
	done, err := s.api.do(ctx, request{method: http.MethodDelete, path: at, match: now.etag})
	if err != nil {
		return err
	}
	return printDone(s.print, done.body, func(hit *wire.Hit) string {
		text := "done: " + what
		if hit != nil {
			text += ", " + tookBack(*hit)
		}
		return text
	})
}

// printDone tells people in one line what was done, and programs what the server answered, if it did.
func printDone[T any](p *printer, body json.RawMessage, tell func(T) string) error {
	if len(body) == 0 {
		body = json.RawMessage("null")
	} else if p.machine() {
		return p.raw(body)
	}
	done, err := decode[T](body)
	if err != nil {
		return err
	}
	p.line("%s", tell(done))
	return nil
}

// labelMap reads NAME=VALUE.
func labelMap(list []string) (map[string]string, error) {
	set := map[string]string{}
	for _, label := range list {
		name, value, ok := strings.Cut(label, "=")
		if !ok || name == "" {
			return nil, usagef("--label is %q: allowed is NAME=VALUE", label)
		}
		if _, twice := set[name]; twice {
			return nil, usagef("--label names %q twice", name)
		}
		set[name] = value
	}
	return set, nil
}

// sentence begins a text with a capital.
func sentence(format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	return strings.ToUpper(text[:1]) + text[1:]
}
