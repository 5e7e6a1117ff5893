package bench

import (
	"bytes"
	"cmp"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"text/template"

	"github.com/countersign/countersign/internal/testbed"
)

// proxy is a way to run a proxy, or another server that reads a file: one process group with an address for each way in which it is set up.
type proxy struct {
	name   string            // of this process
	binary string            // path of the executable
	folder string            // of the template; "" is proxies/
	config string            // the template, whose name the configuration has
	args   []string          // before the path of the configuration
	ways   []string          // names of its addresses in the template; a request to the first tells when it is there
	more   map[string]string // what else the template names
}

// proxyProgram is one that runs.
type proxyProgram struct {
	program
	name string
	at   map[string]string // its addresses
}

// run starts a proxy.
func (s *scene) run(p proxy) proxyProgram {
	s.Helper()
	folder := filepath.Join(s.folder, p.name)
	s.check(os.Mkdir(folder, 0o700))
	values := map[string]string{"Folder": folder}
	maps.Copy(values, p.more)
	at := map[string]string{}
	for _, way := range p.ways {
		address := s.loopback()
		_, port, err := net.SplitHostPort(address)
		s.check(err)
		at[way], values[way], values[way+"Port"] = address, address, port
	}
	tmpl, err := template.ParseFiles(filepath.Join(cmp.Or(p.folder, "proxies"), p.config))
	s.check(err)
	var text bytes.Buffer
	s.check(tmpl.Option("missingkey=error").Execute(&text, values))
	config := filepath.Join(folder, p.config)
	s.check(os.WriteFile(config, text.Bytes(), 0o600))
	cmd := exec.Command(p.binary, append(p.args, config)...)
	cmd.Env = []string{"HOME=" + folder} // where Caddy remembers things
	return proxyProgram{s.start(p.name, cmd, at[p.ways[0]]), p.name, at}
}

// processes are those whose time is counted.
func processes(all ...proxyProgram) map[string]int {
	pids := map[string]int{}
	for _, p := range all {
		pids[p.name] = p.PID()
	}
	return pids
}

// nginx asks the authorizer about each request, or remembers its answers for a while.
func (w *edgeWorld) nginx(authorizer string) proxyProgram {
	w.Helper()
	binary := testbed.FindProgram(w, "nginx")
	deploy, err := filepath.Abs("../deploy/nginx")
	w.check(err)
	w.versionOf(binary, "-v")
	return w.run(proxy{
		name: "nginx", binary: binary, config: "nginx.conf", args: []string{"-c"}, ways: []string{"Plain", "Asking", "Remembering"},
		more: map[string]string{"Upstream": w.upstream.address, "Authorizer": authorizer, "Deploy": deploy},
	})
}

// haproxy verifies tokens by the issuer's public key.
func (w *edgeWorld) haproxy() proxyProgram {
	w.Helper()
	binary := testbed.FindProgram(w, "haproxy")
	w.versionOf(binary, "-v")
	return w.run(proxy{
		name: "haproxy", binary: binary, config: "haproxy.cfg", args: []string{"-db", "-f"}, ways: []string{"Plain", "Connections", "Verifying"},
		more: map[string]string{"Upstream": w.upstream.address, "Key": w.keyFile(), "Issuer": "http://" + w.server.address, "Audience": jwtAPI},
	})
}

// caddy asks the authorizer about each request.
func (w *edgeWorld) caddy(authorizer string) proxyProgram {
	w.Helper()
	binary := testbed.FindProgram(w, "caddy")
	w.versionOf(binary, "version")
	return w.run(proxy{
		name: "caddy", binary: binary, config: "Caddyfile", args: []string{"run", "--adapter", "caddyfile", "--config"}, ways: []string{"Plain", "Asking"},
		more: map[string]string{"Upstream": w.upstream.address, "Authorizer": authorizer},
	})
}

// versionOf remembers the first version number that a program tells.
func (w *edgeWorld) versionOf(binary string, args ...string) {
	w.Helper()
	w.versions[filepath.Base(binary)] = w.scene.versionOf(binary, args...)
}

// versionOf returns the first version number that a program tells.
func (s *scene) versionOf(binary string, args ...string) string {
	s.Helper()
	text, err := exec.CommandContext(s.Context(), binary, args...).CombinedOutput()
	s.check(err)
	return string(regexp.MustCompile(`\d+\.\d+\.\d+\S*`).Find(text))
}
