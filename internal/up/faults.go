package up

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/netfault"
)

// Fault is a place between two parts, or between a part and a server outside, where the network can be broken. Connections that have to
// fail together, such as those for requests and those for health checks, are one Fault.
type Fault struct {
	Name    string // such as "database"; letters, digits and dashes
	Between string // for people
	proxies []*netfault.Proxy
}

// FaultStatus is the state of one Fault.
type FaultStatus struct {
	Name    string        `json:"name"`
	Between string        `json:"between"`
	Mode    netfault.Mode `json:"mode"`
}

// Faults are the fault proxies of a system. The zero value has none.
type Faults struct {
	mu    sync.Mutex
	all   []Fault
	modes map[string]netfault.Mode
}

// Add puts a proxy in front of each target (host:port) and returns where those who are to go through it find them.
func (f *Faults) Add(name, between string, targets ...string) (addresses []string, err error) {
	fault := Fault{Name: name, Between: between}
	for _, target := range targets {
		var listener net.Listener
		if listener, err = netfault.Listen(); err != nil {
			break
		}
		proxy := netfault.Start(listener, target)
		fault.proxies, addresses = append(fault.proxies, proxy), append(addresses, proxy.Addr())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fault) // what was started is closed with the others
	if err != nil {
		return nil, fmt.Errorf("put the fault proxy %s in between: %w", name, err)
	}
	return addresses, nil
}

// Set carries out `NAME MODE`.
func (f *Faults) Set(command string) error {
	name, word, _ := strings.Cut(command, " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, fault := range f.all {
		names = append(names, fault.Name)
		if fault.Name != name {
			continue
		}
		mode, err := netfault.ParseMode(strings.TrimSpace(word))
		if err != nil {
			return err //nolint:wrapcheck // it says what is allowed
		}
		for _, proxy := range fault.proxies {
			if err := proxy.Set(mode); err != nil {
				return fmt.Errorf("set %s to %s: %w", name, mode, err)
			}
		}
		if f.modes == nil {
			f.modes = map[string]netfault.Mode{}
		}
		f.modes[name] = mode
		return nil
	}
	if len(names) == 0 {
		return errors.New("there is no fault proxy: start the system with `countersign up --drills`")
	}
	return fmt.Errorf("no fault proxy is named %q: allowed are %s", name, strings.Join(names, ", "))
}

// Status returns the state of every Fault.
func (f *Faults) Status() []FaultStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []FaultStatus
	for _, fault := range f.all {
		mode := f.modes[fault.Name]
		if mode == "" {
			mode = netfault.Pass
		}
		list = append(list, FaultStatus{Name: fault.Name, Between: fault.Between, Mode: mode})
	}
	return list
}

// Close ends every proxy.
func (f *Faults) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, fault := range f.all {
		for _, proxy := range fault.proxies {
			errs = append(errs, proxy.Close())
		}
	}
	return errors.Join(errs...)
}
