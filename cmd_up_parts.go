package main

import (
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/instance"
)

// topology are the parts of the picture on these ports.
func topology(ports up.Ports, settings instance.Settings) []up.Part {
	parts := make([]up.Part, 0, len(ports.Auth)+1)
	for i, port := range ports.Auth {
		one := settings
		one.Listen, one.AdminListen = up.Address(port), up.Address(ports.AuthAdmin[i])
		one.Issuer = up.URL(ports.Issuer)
		one.Migrate = false // done before the parts start
		one.TrustedProxies = []string{"127.0.0.1/32"}
		parts = append(parts, up.Part{
			Name: fmt.Sprintf("auth-%d", i+1), Role: roleServer, Settings: one,
			Ready: up.URL(ports.AuthAdmin[i]) + "/readyz", URL: up.URL(port),
		})
	}
	return append(parts, up.Part{
		Name: "lb", Role: roleBalancer, Settings: balancerDocument(ports, settings),
		Ready: up.URL(ports.Balancer) + "/readyz", URL: up.URL(ports.Issuer),
	})
}

// mapping is a mapping of a document. JSON, in which it reaches the part, is YAML.
type mapping map[string]any

// balancerDocument is the configuration of the load balancer, as in deploy/lb.yaml.
func balancerDocument(ports up.Ports, settings instance.Settings) mapping {
	// The public endpoints bound their own work by the time that the database may take, so a server that is silent for longer hangs.
	// What they are asked may be asked again: at worst a token that nobody bears has a row. The admin API may have much to do, and
	// who sent it a POST must know whether it was carried out once: only one that reached no server is sent to another.
	silence := settings.DatabaseTimeout + time.Second
	const work = 30 * time.Second
	return mapping{
		"listeners": []mapping{
			{"name": "issuer", "address": up.Address(ports.Issuer), "pool": "issuer"},
			// The metrics of one server or another would make no sense.
			{"name": "admin", "address": up.Address(ports.Admin), "pool": "admin", "not_found": []string{"/metrics"}},
		},
		"admin": mapping{"address": up.Address(ports.Balancer)},
		"pools": mapping{
			"issuer": balancerPool(ports.Auth[:], silence, true),
			"admin":  balancerPool(ports.AuthAdmin[:], work, false),
		},
		// A stream of the revocation feed has no end of its own, and the auth servers, which would end it, are stopped later.
		"drain":     mapping{"timeout": "3s"},
		"log_level": settings.LogLevel,
	}
}

// balancerPool is a pool of parts of this machine. unsafe says that any request may be sent again, whatever its method.
func balancerPool(ports []int, response time.Duration, unsafe bool) mapping {
	targets := make([]mapping, len(ports))
	for i, port := range ports {
		targets[i] = mapping{"url": up.Address(port)}
	}
	return mapping{
		"targets":  targets,
		"health":   mapping{"interval": "250ms"},
		"outlier":  mapping{"failures": 0}, // a database that is down has all of them fail
		"timeouts": mapping{"response": response.String()},
		"retries":  mapping{"unsafe": unsafe, "timeouts": true},
	}
}
