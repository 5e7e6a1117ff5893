package listeners

import (
	"time"

	"github.com/countersign/countersign/internal/document"
)

// Settings are what a document says of one listener. A role embeds them in what it says itself.
type Settings struct {
	Name           string          `yaml:"name" required:"true" help:"its name in logs, metrics and on the status page"`
	Address        string          `yaml:"address" required:"true" help:"host:port; an empty host is every address of the machine"`
	TLS            *TLSSettings    `yaml:"tls" help:"serve https; without it http"`
	TrustedProxies []string        `yaml:"trusted_proxies" help:"addresses or networks in CIDR notation whose X-Forwarded-* and X-Request-Id are believed; none by default"`
	MaxConnections int             `yaml:"max_connections" default:"0" min:"0" help:"connections at once; further ones wait; 0: any number"`
	MaxHeader      document.Size   `yaml:"max_header" default:"32KiB" min:"1KiB" max:"1MiB" help:"size of a request's header section: more is 431"`
	Timeouts       TimeoutSettings `yaml:"timeouts" help:"how long clients may take"`
}

// TLSSettings are the files of a certificate, read again when they change.
type TLSSettings struct {
	Certificate string `yaml:"certificate" required:"true" help:"PEM file with the certificate and its chain"`
	Key         string `yaml:"key" required:"true" help:"PEM file with the private key"`
}

// TimeoutSettings bound what clients may have a listener wait for.
type TimeoutSettings struct {
	Header time.Duration `yaml:"header" default:"5s" min:"100ms" max:"10m" help:"until the header section of a request is there"`
	Body   time.Duration `yaml:"body" default:"1m" min:"100ms" max:"1h" help:"in which a client sends nothing of a body that is waited for"`
	Write  time.Duration `yaml:"write" default:"30s" min:"100ms" max:"1h" help:"in which a client takes in nothing of its answer; a stream may last as long as it moves"`
	Idle   time.Duration `yaml:"idle" default:"2m" min:"100ms" max:"24h" help:"between two requests of a connection"`
}

// DrainSettings say how a process ends.
type DrainSettings struct {
	Delay   time.Duration `yaml:"delay" default:"0s" max:"10m" help:"how long requests are still accepted while /readyz says no, so that load balancers notice"`
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"1ms" max:"1h" help:"how long requests in flight may take then"`
}

// Spec returns the listener that is meant, without what answers on it.
func (s Settings) Spec(drain DrainSettings) Spec {
	spec := Spec{
		Name: s.Name, Address: s.Address, MaxConnections: s.MaxConnections, DrainDelay: drain.Delay, DrainTimeout: drain.Timeout,
		Limits: Limits{
			Header: s.Timeouts.Header, Body: s.Timeouts.Body, Write: s.Timeouts.Write, Idle: s.Timeouts.Idle,
			MaxHeaderBytes: int(s.MaxHeader),
		},
	}
	if s.TLS != nil {
		spec.TLS = TLS{Certificate: s.TLS.Certificate, Key: s.TLS.Key}
	}
	return spec
}
