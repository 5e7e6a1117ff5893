package api

import (
	"github.com/danielgtaylor/huma/v2"
)

// parameters are those that follow from what kind of operation it is. What handlers read themselves is described beside their types.
func (op *operation) parameters() (all []*huma.Param) {
	text := &huma.Schema{Type: huma.TypeString}
	if op.repeatable() {
		low, high := minKey, maxKey
		all = append(all, &huma.Param{
			Name: idempotencyKey, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: &low, MaxLength: &high},
			Description: "Makes it safe to send the request again: under the same key it is carried out once, and answered as the first time, with " +
				"`Idempotent-Replayed: true`. 16 to 255 printable ASCII characters, new for each change. A secret is in the answer for 10 minutes.",
			Example: "0b8e6d0f-6f0a-4f4e-9d5c-3d0a55a3c1f2",
		})
	}
	if op.matches != matchNone {
		all = append(all, &huma.Param{
			Name: "If-Match", In: "header", Schema: text, Example: `"3"`,
			Description: "The ETag of what was read: the change is made only if that is still what is there. `*` makes it whatever is there.",
		})
	}
	if op.matches == matchReplaced {
		all = append(all, &huma.Param{
			Name: "If-None-Match", In: "header", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"*"}}, Example: "*",
			Description: "Instead of If-Match: `*` creates, and replaces nothing.",
		})
	}
	return all
}

// ids describes parameters and members by their names: what they hold and what they look like.
func ids() map[string]struct{ about, example string } {
	return map[string]struct{ about, example string }{
		"client_id": {"The id of a client.", exampleClient},
		"api_id":    {"The id of an API.", exampleAPI},
		"secret_id": {"The id of a secret.", exampleSecret},
		"kid":       {"The id of a signing key.", exampleKey},
		"event_id":  {"The id of an event.", exampleEvent},

		"trusted_issuer_id": {"The id of a trusted issuer.", exampleIssuer},
		"source_api":        {"The id of the API that the exchanged tokens are for.", exampleAPI},
		"target_api":        {"The id of the API that the new tokens are for.", exampleTarget},
		"jti":               {"The id of a token: the claim `jti` of a JWT, or the first 22 characters behind `cs_at_` of an opaque one.", exampleToken},
	}
}

const (
	exampleClient = "cl_00Qy3mGgGZ1uXb7Jt5Ns9k"
	exampleAPI    = "api_00Qy3mHc0TqkW2aVd8LxRe"
	exampleSecret = "sec_00Qy3mJ5fPz4nYh6CwKbTm" //nolint:gosec // an id
	exampleKey    = "key_00Qy3mKvE7rBs1oUiDgMxq"
	exampleTarget = "api_00Qy3mHf4SvQxR6cYbGzKt"
	exampleIssuer = "iss_00Qy3mMw2VtLc8pXrJdYhQ"
	exampleEvent  = "evt_00Qy3mLs8NwHa5tZyRjFpc"
	exampleToken  = "00ZbT4kPq9mXsWv2LcRy7d" //nolint:gosec // an id
)
