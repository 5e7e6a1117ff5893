package main

import (
	"time"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/seed"
)

// mapping is a mapping of a document. JSON, in which it reaches the part, is YAML.
type mapping map[string]any

// upDrain bounds how long what is in flight may take when the load balancer and the gateways end. A stream of the revocation feed has no
// end of its own, and the auth servers, which would end it, are stopped later.
const upDrain = "3s"

// balancerDocument is the configuration of the load balancer, as in deploy/lb.yaml.
func balancerDocument(ports up.Ports, settings instance.Settings) mapping {
	// The public endpoints bound their own work by the time that the database may take, so a server that is silent for longer hangs.
	// What they are asked may be asked again: at worst a token that nobody bears has a row. The admin API may have much to do, and
	// who sent it a POST must know whether it was carried out once: only one that reached no server is sent to another. So it is
	// with what services are asked.
	silence := settings.DatabaseTimeout + time.Second
	const work = 30 * time.Second
	return mapping{
		"listeners": []mapping{
			{"name": "entry", "address": up.Address(ports.Entry), "pool": "gateways"},
			{"name": "issuer", "address": up.Address(ports.Issuer), "pool": "issuer"},
			// The metrics of one server or another would make no sense.
			{"name": "admin", "address": up.Address(ports.Admin), "pool": "admin", "not_found": []string{"/metrics"}},
		},
		"admin": mapping{"address": up.Address(ports.Balancer)},
		"pools": mapping{
			"gateways": balancerPool(ports.Gateways, ports.GatewayAdmin, work, false),
			"issuer":   balancerPool(ports.Auth, ports.Auth, silence, true),
			"admin":    balancerPool(ports.AuthAdmin, ports.AuthAdmin, work, false),
		},
		"drain":     mapping{"timeout": upDrain},
		"log_level": settings.LogLevel,
	}
}

// balancerPool is a pool of two parts of this machine. unsafe says that any request may be sent again, whatever its method.
func balancerPool(ports, health [2]int, response time.Duration, unsafe bool) mapping {
	targets := make([]mapping, len(ports))
	for i, port := range ports {
		targets[i] = mapping{"url": up.Address(port), "health": up.Address(health[i])}
	}
	return mapping{
		"targets":  targets,
		"health":   mapping{"interval": "250ms"},
		"outlier":  mapping{"failures": 0}, // a database that is down has all of them fail
		"timeouts": mapping{"response": response.String()},
		"retries":  mapping{"unsafe": unsafe, "timeouts": true},
	}
}

// gatewayDocument is the configuration of one gateway, as in deploy/gateway.yaml: an order service that anybody may use, and an
// inventory service that wants the tokens of its API.
func gatewayDocument(ports up.Ports, i int, logLevel string, client up.Credential) mapping {
	inventory := func(name, path, method, scope, mode string) mapping {
		return mapping{
			"name": name, "match": mapping{"prefix": path, "methods": []string{method}}, "authentication": "introspect",
			"audience": seed.Inventory, "all_of": []string{scope}, "mode": mode, "pool": "inventory",
		}
	}
	service := func(port int) mapping {
		return mapping{"targets": []mapping{{"url": up.Address(port)}}, "health": mapping{"mode": "tcp"}}
	}
	return mapping{
		"listeners": []mapping{{
			"name": "entry", "address": up.Address(ports.Gateways[i]), "trusted_proxies": []string{"127.0.0.1/32"},
		}},
		"admin": mapping{"address": up.Address(ports.GatewayAdmin[i])},
		"issuers": mapping{"countersign": mapping{
			"url": up.URL(ports.Issuer), "client_id": client.ClientID, "client_secret": client.ClientSecret,
		}},
		"pools": mapping{"orders": service(ports.Services[0]), "inventory": service(ports.Services[1])},
		"routes": []mapping{
			{"name": "orders", "match": mapping{"prefix": "/orders"}, "authentication": "none", "pool": "orders"},
			inventory("items", "/inventory/items", "GET", "inventory:read", "available"),
			inventory("reservations", "/inventory/reservations", "POST", "inventory:write", "strict"),
		},
		"drain":     mapping{"timeout": upDrain},
		"log_level": logLevel,
	}
}
