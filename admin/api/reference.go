package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/admin/wire"
)

var (
	//go:embed reference.html
	referenceHTML string
	//go:embed reference.css
	referenceCSS string
)

// The reference page is made from the OpenAPI document. It needs no script and no other host.
type (
	referencePage struct {
		Title, Version string
		Intro          template.HTML
		CSS            template.CSS
		Base           string
		Sections       []referenceSection
		Scopes         []referenceScope
		Schemas        []referenceSchema
	}
	referenceSection struct {
		ID, Name, About string
		Operations      []referenceOperation
	}
	referenceOperation struct {
		ID, Method, Path, Summary, Curl string
		About                           template.HTML
		Scopes                          [][]string // any of these sets
		Parameters                      []referenceField
		Body, Answer                    *referenceContent
		Responses                       []referenceResponse
	}
	referenceContent struct {
		Type, Schema string
		Status       string
		Fields       []referenceField
		Example      template.HTML
	}
	referenceField struct {
		Name, In, Type, Schema string
		Required               bool
		About                  template.HTML
		Facts                  []string
	}
	referenceResponse struct {
		Status string
		About  template.HTML
		Good   bool
	}
	referenceSchema struct {
		Name   string
		Fields []referenceField
	}
	referenceScope struct{ Name, About string }
)

// reference writes the page and returns the Content-Security-Policy under which it is shown.
func reference(document *huma.OpenAPI) (page []byte, policy string, err error) {
	shape, err := template.New("reference").Parse(referenceHTML)
	if err != nil {
		return nil, "", err
	}
	data := referencePage{
		Title: document.Info.Title, Version: document.Info.Version, Base: wire.Base, CSS: template.CSS(referenceCSS), //nolint:gosec // ours
	}
	for paragraph := range strings.SplitSeq(document.Info.Description, "\n\n") {
		data.Intro += "<p>" + prose(paragraph) + "</p>"
	}
	for name, about := range document.Components.SecuritySchemes[securityScheme].Flows.ClientCredentials.Scopes {
		data.Scopes = append(data.Scopes, referenceScope{name, about})
	}
	slices.SortFunc(data.Scopes, func(a, b referenceScope) int { return strings.Compare(a.Name, b.Name) })
	for _, op := range operations(document) {
		tag := op.Tags[0]
		if n := len(data.Sections); n == 0 || data.Sections[n-1].Name != tag {
			about := document.Tags[slices.IndexFunc(document.Tags, func(t *huma.Tag) bool { return t.Name == tag })].Description
			data.Sections = append(data.Sections, referenceSection{ID: strings.ReplaceAll(strings.ToLower(tag), " ", "-"), Name: tag, About: about})
		}
		section := &data.Sections[len(data.Sections)-1]
		section.Operations = append(section.Operations, describeOperation(document, op))
	}
	data.Schemas = describeSchemas(document)
	var out bytes.Buffer
	if err := shape.Execute(&out, data); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256([]byte(referenceCSS))
	return out.Bytes(), "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

func describeOperation(document *huma.OpenAPI, op *huma.Operation) referenceOperation {
	r := referenceOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, About: prose(op.Description), Curl: curl(op)}
	for _, way := range op.Security {
		r.Scopes = append(r.Scopes, way[securityScheme])
	}
	for _, p := range op.Parameters {
		field := describeField(p.Name, p.Schema)
		field.In, field.Required, field.About = p.In, p.Required, prose(p.Description)
		r.Parameters = append(r.Parameters, field)
	}
	if op.RequestBody != nil {
		mediaType := jsonType
		if op.Method == http.MethodPatch {
			mediaType = patchType
		}
		r.Body = describeContent(document, mediaType, op.RequestBody.Content[mediaType])
	}
	statuses := make([]string, 0, len(op.Responses))
	for status := range op.Responses {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		answer := op.Responses[status]
		good := status[0] == '2'
		for mediaType, content := range answer.Content {
			if good && r.Answer == nil {
				r.Answer = describeContent(document, mediaType, content)
				r.Answer.Status = status
				for i := range r.Answer.Fields {
					r.Answer.Fields[i].Required = false // which is the caller's business in requests alone
				}
			}
		}
		if answer.Ref != "" {
			answer = document.Components.Responses[answer.Ref[strings.LastIndexByte(answer.Ref, '/')+1:]]
		}
		r.Responses = append(r.Responses, referenceResponse{Status: status, About: prose(answer.Description), Good: good})
	}
	return r
}

func describeContent(document *huma.OpenAPI, mediaType string, content *huma.MediaType) *referenceContent {
	c := &referenceContent{Type: mediaType}
	if content.Schema != nil {
		c.Schema = nameOf(content.Schema)
		c.Fields = describeFields(document, resolve(document, content.Schema))
	}
	if content.Example != nil {
		c.Example = highlighted(content.Example)
	}
	return c
}

// curl is a command line that calls the operation.
func curl(op *huma.Operation) string {
	line := "curl"
	if op.Method != http.MethodGet {
		line += " -X " + op.Method
	}
	path := op.Path
	for name, id := range ids() {
		path = strings.ReplaceAll(path, "{"+name+"}", id.example)
	}
	for _, p := range op.Parameters {
		if text, ok := p.Schema.Examples, p.Required && p.In == "query"; ok && len(text) > 0 {
			path += "?" + p.Name + "=" + text[0].(string) //nolint:errcheck,forcetypeassert // the one there is is text
		}
	}
	line += ` "$ADMIN` + wire.Base + path + `" \` + "\n" + `  -H "Authorization: Bearer $TOKEN"`
	if slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "If-Match" }) {
		line += ` \` + "\n" + `  -H 'If-Match: "3"'`
	}
	if op.RequestBody == nil {
		return line
	}
	mediaType := jsonType
	if op.Method == http.MethodPatch {
		mediaType = patchType
	}
	text, err := json.MarshalIndent(op.RequestBody.Content[mediaType].Example, "  ", "  ")
	if err != nil {
		return line
	}
	return line + ` \` + "\n" + `  -H 'Content-Type: ` + mediaType + `' \` + "\n" + `  -d '` + string(text) + `'`
}
