package main

import (
	"fmt"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/instance"
)

// topology are the parts of the picture on these ports. The configurations of the gateways are in the folder.
func topology(folder *up.Folder, ports up.Ports, settings instance.Settings) []up.Part {
	var parts []up.Part
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
	parts = append(parts, up.Part{
		Name: "lb", Role: roleBalancer, Settings: balancerDocument(ports, settings),
		Ready: up.URL(ports.Balancer) + "/readyz", URL: up.URL(ports.Issuer),
	})
	for i, port := range ports.Gateways {
		parts = append(parts, up.Part{
			Name: fmt.Sprintf("gateway-%d", i+1), Role: roleGateway, Settings: gatewayPart{Config: folder.File(gatewayFile(i))},
			Ready: up.URL(ports.GatewayAdmin[i]) + "/readyz", URL: up.URL(port),
		})
	}
	return parts
}
