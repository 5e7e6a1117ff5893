package main

import (
	"fmt"

	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
)

// topology are the parts of the picture on these ports. The configurations of the gateways are in the folder.
func topology(folder *up.Folder, ports up.Ports, settings instance.Settings, b up.Bootstrap, inventory *auth.API) []up.Part {
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
	return append(parts, serviceParts(folder, ports, settings, b, inventory)...)
}

// serviceParts are the two services of the demo. A reaches B as any caller does: by the load balancer and a gateway.
func serviceParts(folder *up.Folder, ports up.Ports, settings instance.Settings, b up.Bootstrap, inventory *auth.API) []up.Part {
	about := func(role string) demoSettings {
		return demoSettings{
			Issuer: b.Issuer, ClientID: b.Clients[role].ClientID, ClientSecretFile: folder.SecretPath(role),
			TrustedProxies: []string{"127.0.0.1/32"}, LogLevel: settings.LogLevel,
		}
	}
	a := serviceASettings{
		Listen: up.Address(ports.Services[0]), AdminListen: up.Address(ports.ServiceAdmin[0]),
		Inventory: b.EntryURL + "/inventory", Resource: inventory.Identifier, demoSettings: about(roleServiceA),
	}
	called := serviceBSettings{
		Listen: up.Address(ports.Services[1]), AdminListen: up.Address(ports.ServiceAdmin[1]),
		Audience: inventory.Identifier, demoSettings: about(roleServiceB),
	}
	if settings.TokenStoreDirect {
		called.TokenStore, called.TokenStoreID = settings.TokenStore, inventory.ID.String()
	}
	return []up.Part{
		{Name: roleServiceB, Role: roleServiceB, Settings: called, Ready: up.URL(ports.ServiceAdmin[1]) + "/readyz", URL: up.URL(ports.Services[1])},
		{Name: roleServiceA, Role: roleServiceA, Settings: a, Ready: up.URL(ports.ServiceAdmin[0]) + "/readyz", URL: up.URL(ports.Services[0])},
	}
}
