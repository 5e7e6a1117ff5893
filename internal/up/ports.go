package up

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Ports are where the parts listen, all on 127.0.0.1.
type Ports struct {
	Entry        int // the load balancer's listener in front of the gateways
	Gateways     [2]int
	Issuer       int // the load balancer's listener in front of the auth servers
	Auth         [2]int
	Admin        int // the load balancer's listener in front of the admin ports
	AuthAdmin    [2]int
	Services     [2]int // service A and service B
	Balancer     int    // the load balancer's own health and metrics
	GatewayAdmin [2]int // health and metrics of the gateways
	ServiceAdmin [2]int // health and metrics of the services
}

// DefaultPorts are those of the documentation.
func DefaultPorts() Ports {
	return Ports{
		Entry: 8080, Gateways: [2]int{8081, 8082}, Issuer: 9000, Auth: [2]int{9001, 9002}, Admin: 9090, AuthAdmin: [2]int{9091, 9092},
		Services: [2]int{7001, 7002}, Balancer: 9093, GatewayAdmin: [2]int{8091, 8092}, ServiceAdmin: [2]int{7091, 7092},
	}
}

// PortsFrom returns a set that begins at base: entry base, gateways +1 and +2, issuer +10 to +12, admin +20 to +22, services +30
// and +31, health ports from +40.
func PortsFrom(base int) (Ports, error) {
	if base < 1 || base > 65535-50 {
		return Ports{}, fmt.Errorf("--port-base is %d: allowed is 1 to %d", base, 65535-50)
	}
	return Ports{
		Entry: base, Gateways: [2]int{base + 1, base + 2}, Issuer: base + 10, Auth: [2]int{base + 11, base + 12},
		Admin: base + 20, AuthAdmin: [2]int{base + 21, base + 22}, Services: [2]int{base + 30, base + 31},
		Balancer: base + 40, GatewayAdmin: [2]int{base + 41, base + 42}, ServiceAdmin: [2]int{base + 43, base + 44},
	}, nil
}

// Address returns the loopback address of a port.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// URL returns the loopback URL of a port.
func URL(port int) string { return "http://" + Address(port) }

// Free reports every port that another program holds.
func (p Ports) Free(ctx context.Context) error {
	var taken []string
	var listen net.ListenConfig
	for _, one := range []struct {
		what string
		port int
	}{
		{"the entry", p.Entry},
		{"gateway 1", p.Gateways[0]},
		{"gateway 2", p.Gateways[1]},
		{"the issuer", p.Issuer},
		{"auth server 1", p.Auth[0]},
		{"auth server 2", p.Auth[1]},
		{"the admin address", p.Admin},
		{"auth server 1's admin port", p.AuthAdmin[0]},
		{"auth server 2's admin port", p.AuthAdmin[1]},
		{"the load balancer's health port", p.Balancer},
		{"gateway 1's health port", p.GatewayAdmin[0]},
		{"gateway 2's health port", p.GatewayAdmin[1]},
		{"service A", p.Services[0]},
		{"service B", p.Services[1]},
		{"service A's health port", p.ServiceAdmin[0]},
		{"service B's health port", p.ServiceAdmin[1]},
	} {
		listener, err := listen.Listen(ctx, "tcp", Address(one.port))
		if err != nil {
			taken = append(taken, fmt.Sprintf("%d (%s)", one.port, one.what))
			continue
		}
		_ = listener.Close()
	}
	if len(taken) == 0 {
		return nil
	}
	word := "port "
	if len(taken) > 1 {
		word = "ports "
	}
	return errors.New("taken by another program: " + word + strings.Join(taken, ", ") + "; end that program, or move all ports with --port-base N")
}
