package main

import (
	"fmt"
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

// gatewayFile is the file in the data folder with the configuration of a gateway, counted from 0.
func gatewayFile(i int) string { return fmt.Sprintf("gateway-%d.yaml", i+1) }

// writeGatewayDocuments writes the configurations of the gateways into files that one can change while they run.
func writeGatewayDocuments(folder *up.Folder, ports up.Ports, logLevel string, client up.Credential) error {
	for i := range ports.Gateways {
		if err := folder.Write(gatewayFile(i), gatewayDocument(ports, i, logLevel, client)); err != nil {
			return err
		}
	}
	return nil
}

// gatewayDocument is the configuration of one gateway, as in deploy/gateway.yaml: an order service that anybody may use, and an
// inventory service that wants the tokens of its API.
func gatewayDocument(ports up.Ports, i int, logLevel string, client up.Credential) []byte {
	return fmt.Appendf(nil, `# How one of the two gateways of "countersign up" runs. A change counts within a second, until the next start writes this file anew.
# The load balancer asks both gateways: change gateway-1.yaml and gateway-2.yaml alike.
listeners:
  - {name: entry, address: %q, trusted_proxies: [127.0.0.1/32]}
admin: {address: %q}
issuers:
  countersign: {url: %q, client_id: %q, client_secret: %q}
pools:
  orders: {targets: [{url: %q}], health: {mode: tcp}}
  inventory: {targets: [{url: %q}], health: {mode: tcp}}
routes:
  - name: orders
    match: {prefix: /orders}
    authentication: none
    pool: orders
  - name: items
    match: {prefix: /inventory/items, methods: [GET]}
    authentication: introspect
    audience: %[8]q
    all_of: [inventory:read]
    pool: inventory
  - name: reservations
    match: {prefix: /inventory/reservations, methods: [POST]}
    authentication: introspect
    audience: %[8]q
    all_of: [inventory:write]
    mode: strict
    pool: inventory
drain: {timeout: %[9]s}
log_level: %[10]s
`, up.Address(ports.Gateways[i]), up.Address(ports.GatewayAdmin[i]), up.URL(ports.Issuer), client.ClientID, client.ClientSecret,
		up.Address(ports.Services[0]), up.Address(ports.Services[1]), seed.Inventory, upDrain, logLevel)
}
