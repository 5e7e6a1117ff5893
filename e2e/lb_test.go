package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// lbProcess is a `countersign lb`.
type lbProcess struct {
	*program

	Address, AdminURL string // of the listener "entry", and of the admin port
	Config            string // its file
}

// startLB runs a load balancer with a listener that has these further members, and these pools, and returns when it is ready.
func startLB(t *testing.T, listener, pools string) *lbProcess {
	t.Helper()
	p := &lbProcess{Address: up.Address(testbed.FreePort(t)), Config: filepath.Join(t.TempDir(), "lb.yaml")}
	admin := up.Address(testbed.FreePort(t))
	p.AdminURL = "http://" + admin
	p.Write(t, p.document(listener, pools))
	p.program = startProgram(t, filepath.Dir(p.Config), nil, "lb", "--config", p.Config)
	testbed.Wait(t, startWithin, func() error {
		got, err := get(t.Context(), p.AdminURL+"/readyz")
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("not ready: %d %s", got.Status, got.Body)
		}
		return err
	})
	return p
}

func (p *lbProcess) document(listener, pools string) string {
	return fmt.Sprintf("listeners: [{name: entry, address: %q, %s}]\nadmin: {address: %q}\npools: {%s}\ndrain: {delay: 1s}\n",
		p.Address, listener, strings.TrimPrefix(p.AdminURL, "http://"), pools)
}

// Write changes the configuration.
func (p *lbProcess) Write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(p.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// metric waits for a line of /metrics.
func (p *lbProcess) metric(t *testing.T, line string) {
	t.Helper()
	testbed.Wait(t, startWithin, func() error {
		got, err := get(t.Context(), p.AdminURL+"/metrics")
		if err == nil && !strings.Contains(string(got.Body), "\n"+line+"\n") {
			err = fmt.Errorf("no line %s", line)
		}
		return err
	})
}

// poolOf is a pool of these upstreams.
func poolOf(addresses ...string) string {
	targets := make([]string, len(addresses))
	for i, a := range addresses {
		targets[i] = fmt.Sprintf("{url: %q}", a)
	}
	return fmt.Sprintf("main: {targets: [%s], health: {mode: tcp, interval: 250ms}}", strings.Join(targets, ", "))
}

// A changed configuration takes effect without a request lost, by a signal or by itself; a wrong one is refused and changes nothing.
func TestLBReload(t *testing.T) {
	t.Parallel()
	one, two := startUpstreamProcess(t), startUpstreamProcess(t)
	p := startLB(t, "pool: main", poolOf(one.Addr))
	load := startTraffic(t, "http://"+p.Address+"/")
	load.await(t, 200)
	for i := range 6 {
		listener := "pool: main"
		if i%2 == 1 {
			listener += ", timeouts: {idle: 1m}" // connections are told to come anew
		}
		p.Write(t, p.document(listener, poolOf([]string{two.Addr, one.Addr}[i%2])))
		if i < 5 { // the last one is noticed without
			p.Signal(t, syscall.SIGHUP)
		}
		p.metric(t, fmt.Sprintf("countersign_config_reloads_total{result=\"success\"} %d", i+1))
		want := fmt.Sprint([]int{two.PID(), one.PID()}[i%2])
		if got, err := get(t.Context(), "http://"+p.Address+"/"); err != nil || !strings.HasPrefix(string(got.Body), want) {
			t.Errorf("after change %d: %s, %v", i, got.Body, err)
		}
		load.await(t, load.count()+100)
	}
	p.Write(t, p.document("pool: missing", poolOf(one.Addr)))
	p.metric(t, `countersign_config_reloads_total{result="failure"} 1`)
	p.metric(t, "countersign_config_last_reload_success 0")
	if want := `listeners[0].pool: no pool is called \"missing\"`; !strings.Contains(p.out.String(), want) {
		t.Errorf("the log does not say %s", want)
	}
	load.await(t, load.count()+100)
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
}

// One of two upstreams is killed under load.
func TestLBLosesAnUpstream(t *testing.T) {
	t.Parallel()
	doomed, other := startUpstreamProcess(t), startUpstreamProcess(t)
	p := startLB(t, "pool: main", poolOf(doomed.Addr, other.Addr))
	load := startTraffic(t, "http://"+p.Address+"/")
	load.await(t, 500)
	doomed.Signal(t, syscall.SIGKILL)
	doomed.Exit(t, endWithin)
	testbed.Wait(t, healWithin, func() error { return upstreamDown(t.Context(), p.AdminURL, doomed.Addr) })
	load.await(t, load.count()+1000)
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
}

// On SIGTERM requests go on being answered for the delay, while /readyz says no: whoever looks at it can go elsewhere in time.
func TestLBDrain(t *testing.T) {
	t.Parallel()
	upstream := startUpstreamProcess(t)
	p := startLB(t, "pool: main", poolOf(upstream.Addr))
	load := startTraffic(t, "http://"+p.Address+"/")
	load.await(t, 200)
	p.Signal(t, syscall.SIGTERM)
	testbed.Wait(t, startWithin, func() error {
		got, err := get(t.Context(), p.AdminURL+"/readyz")
		if err == nil && got.Status != http.StatusServiceUnavailable {
			err = fmt.Errorf("ready: %d", got.Status)
		}
		return err
	})
	load.await(t, load.count()+50)
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Certificates are read again when their files change.
func TestLBCertificates(t *testing.T) {
	t.Parallel()
	upstream := startUpstreamProcess(t)
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePair(t, certificate, key, "first.test")
	p := startLB(t, fmt.Sprintf("pool: main, tls: {certificate: %q, key: %q}", certificate, key), poolOf(upstream.Addr))
	served := func() (string, string) {
		t.Helper()
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}} // which one is served is what is tested
		conn, err := dialer.DialContext(t.Context(), "tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		state := conn.(*tls.Conn).ConnectionState()
		return state.PeerCertificates[0].Subject.CommonName, state.NegotiatedProtocol
	}
	if name, protocol := served(); name != "first.test" || protocol != "h2" {
		t.Errorf("got %s, %s", name, protocol)
	}
	writePair(t, certificate, key, "second.test")
	testbed.Wait(t, startWithin, func() error {
		if name, _ := served(); name != "second.test" {
			return fmt.Errorf("got %s", name)
		}
		return nil
	})
}

// TLS passes through to the upstream, whose certificate the client sees, and so does the end of each direction.
func TestLBPassesTCPOn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePair(t, certificate, key, "upstream.test")
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = upstream.Close() }()
	go func() {
		for {
			conn, err := upstream.Accept()
			if err != nil {
				return
			}
			go func() {
				text, _ := io.ReadAll(conn)
				_, _ = conn.Write(append([]byte("got "), text...))
				_ = conn.Close()
			}()
		}
	}()
	dead := up.Address(testbed.FreePort(t))
	p := startLB(t, "mode: tcp, pool: main", poolOf(upstream.Addr().String(), dead))
	for range 4 {
		conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: startWithin}, Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", p.Address) // which one is served is what is tested
		if err != nil {
			t.Fatal(err)
		}
		secure := conn.(*tls.Conn)
		if name := secure.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "upstream.test" {
			t.Errorf("got %s", name)
		}
		_, _ = io.WriteString(secure, "hello")
		_ = secure.CloseWrite()
		if got, err := io.ReadAll(secure); string(got) != "got hello" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
	p.Signal(t, syscall.SIGTERM)
	if code := p.Exit(t, endWithin); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What is wrong with a configuration is told without serving it, all of it.
func TestLBCheckConfig(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePair(t, certificate, key, "a.test")
	good := fmt.Sprintf("listeners: [{name: a, address: \":0\", pool: p, tls: {certificate: %s, key: %s}}]\npools: {p: {targets: [{url: \"127.0.0.1:1\"}]}}\n", certificate, key)
	for _, tt := range []struct {
		name, text string
		code       int
		want       []string
	}{
		{"good.yaml", good, 0, []string{"good.yaml: ok"}},
		{"key.yaml", strings.Replace(good, key, certificate, 1), 2, []string{"listener a (:0)", "tls.crt"}},
		{"two.yaml", strings.Replace(strings.Replace(good, "pool: p", "pool: q", 1), "127.0.0.1:1", "127.0.0.1", 1), 2, []string{"two.yaml:1: listeners[0].pool", "two.yaml:2: pools.p.targets[0].url"}},
		{"members.yaml", "listener: []\nfools: 1\n", 2, []string{`members.yaml:1: `, `"listener"`, `members.yaml:2: `, `"fools"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := startProgram(t, folder, nil, "lb", "--check-config", "--config", write(tt.name, tt.text))
			if code := run.Exit(t, endWithin); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(run.out.String(), want) {
					t.Errorf("it does not say %s:\n%s", want, run.out)
				}
			}
		})
	}
	run := startProgram(t, folder, []string{"COUNTERSIGN_SCHEMA=true"}, "lb")
	if code := run.Exit(t, endWithin); code != 0 || !strings.Contains(run.out.String(), `"listeners"`) {
		t.Errorf("exit code %d: %s", code, run.out)
	}
}
