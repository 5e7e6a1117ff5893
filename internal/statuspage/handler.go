package statuspage

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Handler answers with what describe returns: in HTML to whoever accepts text/html, as browsers do, else in JSON; ?format=html and
// ?format=json choose one. describe is called once for each request. now is the clock; nil means time.Now. The page loads nothing,
// runs nothing, and cannot be framed.
func Handler(describe func(context.Context) Page, now func() time.Time) http.Handler {
	page := template.Must(template.New("page").Parse(pageHTML))
	if now == nil {
		now = time.Now
	}
	hash := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return httpx.Handler(func(w http.ResponseWriter, r *http.Request) error {
		described := describe(r.Context())
		var err error
		body, kind := new(bytes.Buffer), "application/json"
		if wantsHTML(r) {
			kind = "text/html; charset=utf-8"
			err = page.Execute(body, described.view(now()))
		} else {
			encoder := json.NewEncoder(body)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(described)
		}
		if err != nil {
			return fault.Wrap(fault.Internal, "", fmt.Errorf("render status: %w", err))
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Vary", "Accept")
		httpx.NoStore(h)
		_, _ = w.Write(body.Bytes()) // who has gone cannot be told
		return nil
	}).With(httpx.Problems(httpx.DefaultDocs))
}
