package bench

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
)

const (
	edgeConnections = 64
	idleConnections = 5000
	edgeRequests    = 4000 // of a round of tokens at first sight
)

// edgeWorld has an issuer, an upstream, and every proxy in front of it.
type edgeWorld struct {
	*issuer
	token    string // that every request bears
	limit    string // path of the bare limit's binary
	upstream program
	answer   []byte // the upstream's
	// secretFile has the secret of the caller, as who the gateway follows revocations.
	secretFile string
	versions   map[string]string
}

func newEdgeWorld(b *testing.B) *edgeWorld {
	b.Helper()
	s := newScene(b)
	w := &edgeWorld{issuer: s.startIssuer("sqlite:" + filepath.Join(s.folder, "server.db")), versions: map[string]string{}}
	w.secretFile = filepath.Join(s.folder, "gateway-secret")
	w.check(os.WriteFile(w.secretFile, []byte(w.caller.Secret.Reveal()), 0o600))
	w.token = w.tokens(w.server, "/oauth2/token", asking(jwtAPI), 1)[0]
	w.limit = w.build("proxylimit", "./proxylimit")
	w.upstream = w.startLimit("upstream")
	response, err := (&http.Client{Timeout: time.Minute}).Get("http://" + w.upstream.address)
	w.check(err)
	w.answer, err = io.ReadAll(response.Body)
	w.check(errors.Join(err, response.Body.Close()))
	return w
}

// startLimit runs the program of the limit in one of its roles.
func (w *edgeWorld) startLimit(role string, args ...string) program {
	w.Helper()
	address := w.loopback()
	cmd := exec.Command(w.limit, append([]string{role, address}, args...)...)
	cmd.Env = []string{} // the limit has what Go has by default
	return w.start("limit-"+role, cmd, address)
}

func (w *edgeWorld) get(address string) []byte {
	return generator.Get("/items/1?page=2", address, w.token)
}

// side returns the load on an address, and whose time is counted.
func (w *edgeWorld) side(name, address string, processes map[string]int) Side {
	pids := map[string]int{upstreamProcess: w.upstream.PID()}
	maps.Copy(pids, processes)
	load := generator.Load{Address: address, Connections: edgeConnections, Requests: [][]byte{w.get(address)}, Body: w.answered}
	return Side{name, load, pids}
}

// answered checks that an answer is the upstream's.
func (w *edgeWorld) answered(body []byte) error {
	if !bytes.Equal(body, w.answer) {
		return errors.New("not the upstream's answer")
	}
	return nil
}

// fresh makes every request of a side bear a token that nobody has seen. They suffice for so many runs.
func (w *edgeWorld) fresh(side Side, runs int) Side {
	w.Helper()
	side.Load.Once = &generator.Once{PerRun: edgeRequests}
	side.Load.Requests = make([][]byte, 0, runs*edgeRequests)
	for _, token := range w.tokens(w.server, "/oauth2/token", asking(jwtAPI), runs*edgeRequests) {
		side.Load.Requests = append(side.Load.Requests, generator.Get("/items/1?page=2", side.Load.Address, token))
	}
	return side
}

// keyFile writes the public key of the issuer's ES256 tokens as PEM, which is what HAProxy reads.
func (w *edgeWorld) keyFile() string {
	w.Helper()
	public, err := x509.MarshalPKIXPublicKey(publicKey(w.B, &http.Client{Timeout: time.Minute}, "http://"+w.server.address, w.token))
	w.check(err)
	path := filepath.Join(w.folder, "issuer.pem")
	w.check(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
	return path
}
