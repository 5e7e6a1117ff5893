package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

const securityScheme = "oauth2"

// The tags, in the order of the reference page.
const (
	tagClients   = "Clients"
	tagSecrets   = "Secrets"
	tagAPIs      = "APIs"
	tagGrants    = "Grants"
	tagIssuers   = "Trusted issuers"
	tagExchanges = "Token exchange"
	tagTokens    = "Tokens"
	tagKeys      = "Keys"
	tagAudit     = "Audit log"
	tagInsights  = "Insight"
	tagDeclared  = "Declarative configuration"
)

const introduction = `Everything that can be administered: clients, their secrets, APIs, grants, tokens, signing keys and the audit log.

**Who may call.** Send an access token of this very server for the resource ` + "`" + auth.AdminAPI + "`" + `, as ` + "`Authorization: Bearer`" + `. Each operation names the scopes it needs. A token that was revoked, or whose client was disabled, is refused at once. Nobody can give away, or take over, more of Countersign's own APIs than it holds itself.

**Changes.** Reads of a resource answer an ` + "`ETag`" + `. ` + "`PATCH`, `DELETE` and replacing `PUT`" + ` need it as ` + "`If-Match`" + `, so that two people who edit at once lose nothing: 412 says that it changed meanwhile, 428 that the header is missing, and ` + "`If-Match: *`" + ` forces the change. ` + "`PATCH`" + ` takes a JSON merge patch (RFC 7396). A ` + "`POST`" + ` with an ` + "`Idempotency-Key`" + ` can be sent again without being carried out again.

**Lists** answer ` + "`items`" + ` and, unless it is the last page, ` + "`next_cursor`" + `: send it as ` + "`cursor`" + ` with the same filters. Pages stay right while things are added and removed.

**Errors** are problem documents (RFC 9457) with a ` + "`code`" + ` that programs can rely on, the ` + "`request_id`" + ` of the log, and ` + "`errors`" + ` that point at members of the body. Unknown members, unknown parameters and members that stand there twice are refused. Times are RFC 3339 in UTC, durations whole seconds.`

// schemaName names a schema by its type. Generators make a Client of their own from every document, so ours has another name there.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[wire.Client]() || t == reflect.TypeFor[*wire.Client]() {
		return "ServiceClient"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// describe is the OpenAPI document without its operations.
func (s *service) describe() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	problem := schemas.Schema(reflect.TypeFor[wire.Problem](), true, "")
	scopes := map[string]string{}
	for _, scope := range registry.AdminScopes() {
		scopes[scope.Name] = scope.Description
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Countersign admin API", Version: s.Version, Description: introduction,
				License: &huma.License{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"},
			},
			Servers: []*huma.Server{{URL: wire.Base, Description: "The admin listener of every server instance."}},
			Tags: []*huma.Tag{
				{Name: tagClients, Description: "Services that call others."},
				{Name: tagSecrets, Description: "What clients authenticate with. A client may have several at once, so that it rotates without downtime."},
				{Name: tagAPIs, Description: "What is called: resource servers, with the scopes they offer and the form of their tokens."},
				{Name: tagGrants, Description: "Who may call whom, with which scopes. What no grant names is not allowed."},
				{Name: tagIssuers, Description: "Who signs the tokens of workloads, by which those authenticate as clients: clusters, CI systems, trust domains."},
				{Name: tagExchanges, Description: "Who may exchange the tokens that it is called with for tokens for what it calls in turn (RFC 8693)."},
				{Name: tagTokens, Description: "Issued access tokens, one by one and in sets."},
				{Name: tagKeys, Description: "The keys that sign access tokens."},
				{Name: tagAudit, Description: "Who changed what, when and from where: a chain that shows whether it was tampered with."},
				{Name: tagInsights, Description: "What is used, what is not, and why a call is allowed or refused."},
				{Name: tagDeclared, Description: "The whole configuration as one document."},
			},
			Components: &huma.Components{
				Schemas:   schemas,
				Responses: responses(problem),
				SecuritySchemes: map[string]*huma.SecurityScheme{securityScheme: {
					Type:        "oauth2",
					Description: "Client credentials with the parameter resource=" + auth.AdminAPI + ".",
					Flows:       &huma.OAuthFlows{ClientCredentials: &huma.OAuthFlow{TokenURL: s.TokenURL, Scopes: scopes}},
				}},
			},
		},
		Formats: formats(), DefaultFormat: jsonType, RejectUnknownQueryParameters: true, Transformers: []huma.Transformer{s.transform},
	}
}

// publish completes the document and serves it. It needs no token: it tells nothing of this deployment. What is served is written when
// somebody asks for it first: it would be most of the time that a server takes to start, and of what it holds in memory.
func (s *service) publish(front *router) {
	document := s.huma.OpenAPI()
	complete(document)
	const openapi, nothing = "application/vnd.oai.openapi+json", "default-src 'none'"
	for path, write := range map[string]func() (fixed, error){
		"/openapi.json": func() (fixed, error) {
			text, err := json.MarshalIndent(document, "", "  ")
			return fixed{openapi + ";version=3.1", nothing, text}, err
		},
		"/openapi-3.0.json": func() (fixed, error) {
			text, err := document.Downgrade()
			return fixed{openapi + ";version=3.0", nothing, text}, err
		},
		"/docs": func() (fixed, error) {
			page, policy, err := reference(document)
			return fixed{"text/html; charset=utf-8", policy, page}, err
		},
		schemaPath: func() (fixed, error) {
			return fixed{"application/schema+json", nothing, []byte(wire.Schema())}, nil
		},
	} {
		written := sync.OnceValues(write)
		front.add(http.MethodGet, path, func(c *gin.Context) {
			answer, err := written()
			if err != nil {
				s.write(c.Writer, c.Request, fault.From(fmt.Errorf("write %s: %w", path, err)))
				return
			}
			answer.serve(c)
		})
	}
}

// fixed is a fixed answer.
type fixed struct {
	mediaType string
	policy    string // Content-Security-Policy
	text      []byte
}

func (d fixed) serve(c *gin.Context) {
	h := c.Writer.Header()
	httpx.From(c.Request.Context()).Quiet = true
	h.Set("Content-Type", d.mediaType)
	h.Set("Content-Security-Policy", d.policy)
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = c.Writer.Write(d.text) // who has gone cannot be told
}

// complete adds what follows from the operations as a whole.
func complete(document *huma.OpenAPI) {
	schemas := document.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own, which no answer has
	delete(schemas, "ErrorDetail")
	known := ids()
	for _, op := range operations(document) {
		for _, p := range op.Parameters {
			if id, ok := known[p.Name]; ok {
				p.Example = id.example
				if p.Description == "" {
					p.Description = id.about
				}
			}
		}
		if op.RequestBody != nil {
			content := op.RequestBody.Content
			content[jsonType].Example = op.Metadata[metadata].(*operation).sent //nolint:errcheck,forcetypeassert // add sets it
			if content[jsonType].Example == nil {
				content[jsonType].Example = example(document, content[jsonType].Schema)
			}
			if op.Method == http.MethodPatch {
				content[patchType] = content[jsonType]
			}
		}
		for status, answer := range op.Responses {
			if content := answer.Content[jsonType]; content != nil && content.Schema != nil {
				content.Example = example(document, content.Schema)
			}
			if status == "200" {
				delete(answer.Headers, "Location")
			}
			if status[0] == '2' && slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == idempotencyKey }) {
				answer.Headers["Idempotent-Replayed"] = &huma.Param{
					Description: "true: an earlier request with this Idempotency-Key made what is answered.", Schema: &huma.Schema{Type: huma.TypeString},
				}
			}
		}
	}
	open(document)
}

// open lets answers have members that later versions add. Those of requests are refused if they are not known.
func open(document *huma.OpenAPI) {
	sent := map[*huma.Schema]bool{}
	var reach func(*huma.Schema)
	reach = func(schema *huma.Schema) {
		schema = resolve(document, schema)
		if schema == nil || sent[schema] {
			return
		}
		sent[schema] = true
		reach(schema.Items)
		if inner, ok := schema.AdditionalProperties.(*huma.Schema); ok {
			reach(inner)
		}
		for _, member := range schema.Properties {
			reach(member)
		}
	}
	for _, op := range operations(document) {
		if op.RequestBody != nil {
			reach(op.RequestBody.Content[jsonType].Schema)
		}
	}
	for _, schema := range document.Components.Schemas.Map() {
		if closed, ok := schema.AdditionalProperties.(bool); ok && !closed && !sent[schema] {
			schema.AdditionalProperties = nil
		}
	}
}

// operations lists the document's, by tag and otherwise in order of path.
func operations(document *huma.OpenAPI) (all []*huma.Operation) {
	for _, item := range document.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	rank := map[string]int{}
	for i, tag := range document.Tags {
		rank[tag.Name] = i
	}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	slices.SortFunc(all, func(a, b *huma.Operation) int {
		return cmp.Or(rank[a.Tags[0]]-rank[b.Tags[0]], strings.Compare(a.Path, b.Path), slices.Index(methods, a.Method)-slices.Index(methods, b.Method))
	})
	return all
}

// bodySchema returns the schema of an operation's body, or nil.
func bodySchema(op *huma.Operation, document *huma.OpenAPI) *huma.Schema {
	content := op.RequestBody.Content[jsonType]
	if content == nil || content.Schema == nil {
		return nil
	}
	return resolve(document, content.Schema)
}

func resolve(document *huma.OpenAPI, schema *huma.Schema) *huma.Schema {
	for schema != nil && schema.Ref != "" {
		schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}
