package wire

import _ "embed" // of schema.json

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (2020-12) of the declarative configuration as YAML: what the command line reads. What the admin API is
// sent differs by `secret`, and its OpenAPI document describes it.
func Schema() string { return schema }
