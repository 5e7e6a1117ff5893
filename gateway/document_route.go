package gateway

import (
	"time"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/lb"
)

// Route says which requests it is for, who may make them, and where they go.
type Route struct {
	Name  string `yaml:"name" required:"true" help:"its name in logs, metrics and on the status page"`
	Match Match  `yaml:"match" required:"true" help:"which requests it is for"`

	Authentication string   `yaml:"authentication" required:"true" oneof:"jwt|introspect|none" help:"jwt: tokens that prove themselves; introspect: opaque ones too; none: anybody"`
	Issuer         string   `yaml:"issuer" help:"whose tokens; may be left out if there is one issuer"`
	Audience       string   `yaml:"audience" help:"whom tokens must be for (aud): the identifier of the API"`
	AllOf          []string `yaml:"all_of" help:"scopes that a token must have, every one"`
	AnyOf          []string `yaml:"any_of" help:"scopes of which a token must have one"`
	Clients        []string `yaml:"clients" help:"ids of the clients that may call; left out: any"`
	Mode           string   `yaml:"mode" default:"available" oneof:"available|strict" help:"while revocations cannot be heard of: go on up to the issuer's grace, or refuse (503)"`
	Constrained    string   `yaml:"sender_constrained" default:"optional" oneof:"optional|required" help:"required: only tokens that are bound to a key or certificate of the caller's"`
	Token          string   `yaml:"token" default:"pass" oneof:"pass|drop" help:"whether the upstream gets the token"`

	Exchange *Exchange `yaml:"exchange" help:"exchange the caller's token for one for the service (RFC 8693), which the upstream gets in its place"`

	Pool      string            `yaml:"pool" help:"where requests go; may be left out if every listener serves authorization"`
	Rewrite   Rewrite           `yaml:"rewrite" help:"what the upstream gets in place of the request's path and host"`
	RateLimit *RateLimit        `yaml:"rate_limit" help:"how many requests are let in"`
	MaxBody   document.Size     `yaml:"max_body" default:"10MiB" help:"size of a request's body; more is 413; 0: any"`
	Timeouts  RouteTimeouts     `yaml:"timeouts" help:"how long things may take"`
	Retries   *lb.RetrySettings `yaml:"retries" help:"in place of the pool's"`
}

// Match is which requests a route is for.
type Match struct {
	Hosts   []string `yaml:"hosts" help:"names without port, such as api.example.com or *.example.com; left out: any"`
	Path    string   `yaml:"path" help:"this very path, with or without a slash at its end"`
	Prefix  string   `yaml:"prefix" help:"this path and all below it; / is all"`
	Methods []string `yaml:"methods" help:"left out: any; GET serves HEAD too"`
}

// Rewrite is how a request changes on its way.
type Rewrite struct {
	StripPrefix string `yaml:"strip_prefix" help:"is taken off the beginning of the path"`
	AddPrefix   string `yaml:"add_prefix" help:"is put before it then"`
	Path        string `yaml:"path" help:"takes the place of the whole path"`
	Host        string `yaml:"host" help:"the Host that the upstream sees; else the client's"`
}

// Exchange is for what the tokens of callers are exchanged.
type Exchange struct {
	Resource string   `yaml:"resource" required:"true" help:"the API that the upstream serves, by its identifier"`
	Scopes   []string `yaml:"scopes" help:"scopes that the new token has; left out: all that the caller's allow"`
}

// RateLimit is how many requests of one kind are let in.
type RateLimit struct {
	Requests int           `yaml:"requests" required:"true" min:"1" help:"how many requests"`
	Per      time.Duration `yaml:"per" default:"1s" min:"1ms" max:"24h" help:"in what time"`
	Burst    int           `yaml:"burst" default:"0" min:"0" help:"how many at once; 0: as many as requests"`
	By       string        `yaml:"by" default:"client" oneof:"client|address|route" help:"whose are counted together: of a client (without authentication: of an address), an address, or all of the route"`
}

// RouteTimeouts are those of one route.
type RouteTimeouts struct {
	Response time.Duration `yaml:"response" default:"0s" max:"24h" help:"until the upstream's headers are there; 0: as the pool says"`
	Body     time.Duration `yaml:"body" default:"1m" max:"24h" help:"in which a request's body must be there; 0: any time, for streams"`
}
