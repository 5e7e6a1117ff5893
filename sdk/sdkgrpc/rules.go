package sdkgrpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/countersign/countersign/sdk"
)

// Policies says what methods ask of a token. A key is a full method name, such as "/inventory.v1.Inventory/List"; or all methods of
// a service, "/inventory.v1.Inventory/*"; or "*", all that no other key names. Of several keys the most specific one counts, alone.
type Policies map[string]sdk.Policy

// Option is an option of [NewGuard].
type Option func(*Guard) error

// Public opens methods to everybody: their callers need no token, and one that they bring is not looked at. Methods are named as in
// [Policies], except that "*" is not possible. Health checks are a use of it.
func Public(methods ...string) Option {
	return func(g *Guard) error {
		for _, method := range methods {
			if method == everything {
				return fmt.Errorf("%q cannot be public: name the services", method)
			}
			if err := g.add(method, rule{public: true}); err != nil {
				return err
			}
		}
		return nil
	}
}

const everything = "*"

type rule struct {
	policy sdk.Policy
	public bool
}

// add puts a rule in under its key: a method, the service with slashes around it, or everything.
func (g *Guard) add(name string, r rule) error {
	service, method := split(name)
	switch {
	case name == everything:
	case len(service) < len("/s/") || service[0] != '/' || method == "" || strings.Contains(method, "*") && method != everything:
		return fmt.Errorf("%q is not a method: want /package.Service/Method, /package.Service/* or *", name)
	case method == everything:
		name = service
	}
	if _, twice := g.rules[name]; twice {
		return fmt.Errorf("%q is named twice", name)
	}
	g.rules[name] = r
	return nil
}

// rule returns what holds for a method.
func (g *Guard) rule(fullMethod string) (rule, bool) {
	service, _ := split(fullMethod)
	for _, key := range [...]string{fullMethod, service, everything} {
		if r, ok := g.rules[key]; ok {
			return r, true
		}
	}
	return rule{}, false
}

// split cuts a full method name behind its last slash.
func split(fullMethod string) (service, method string) {
	end := strings.LastIndexByte(fullMethod, '/') + 1
	return fullMethod[:end], fullMethod[end:]
}

// Check compares the guard with a server's services, and so is called once they are all registered: it is an error that a method has
// no policy and is not public, and that a policy names a method or service that the server does not have, which may be misspelt.
func (g *Guard) Check(server interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
},
) error {
	known := map[string]bool{everything: true}
	var wrong []error
	for service, info := range server.GetServiceInfo() {
		known["/"+service+"/"] = true
		for _, method := range info.Methods {
			name := "/" + service + "/" + method.Name
			known[name] = true
			if _, ok := g.rule(name); !ok {
				wrong = append(wrong, fmt.Errorf("%s has no policy", name))
			}
		}
	}
	for name := range g.rules {
		if !known[name] {
			wrong = append(wrong, fmt.Errorf("the server has no %s", name))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}
