package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

// composed is the compose file at work without containers: each service is a process of this machine, with the command, the environment,
// the volumes and the files that the compose file gives it. Names and ports are those of free ports on loopback, volumes are folders. In
// place of the image of MySQL there is the MariaDB of the test bed.
type composed struct {
	file     compose
	folder   string
	database *testbed.Server
	ports    map[string]string // by service:port
	aliases  map[string]string // from a name to the service that has it
	running  []*program
}

// newComposed has a database and empty volumes; nothing is started.
func newComposed(t *testing.T) *composed {
	t.Helper()
	c := &composed{file: readCompose(t), folder: t.TempDir(), database: testbed.StartMariaDB(t), ports: map[string]string{}, aliases: map[string]string{}}
	_, c.ports["mysql:3306"], _ = strings.Cut(c.database.Addr(), ":")
	for name := range c.file.Volumes {
		if err := os.MkdirAll(c.volume(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range c.file.Services {
		for _, aliases := range s.Networks {
			for _, alias := range aliases {
				c.aliases[alias] = name
			}
		}
	}
	return c
}

// volume returns the folder of a volume.
func (c *composed) volume(name string) string { return filepath.Join(c.folder, "volumes", name) }

// port returns the port of this machine that stands for one of a service.
func (c *composed) port(t *testing.T, service string, port string) string {
	t.Helper()
	key := service + ":" + port
	if c.ports[key] == "" {
		c.ports[key] = strconv.Itoa(testbed.FreePort(t))
	}
	return c.ports[key]
}

var (
	hostAndPort = regexp.MustCompile(`([a-z0-9.-]+):(\d{4,5})\b`)
	portAlone   = regexp.MustCompile(`^\d{4,5}$`)
)

// local translates addresses and paths of a service's container into those of this machine.
func (c *composed) local(t *testing.T, service, text string) string {
	t.Helper()
	text = hostAndPort.ReplaceAllStringFunc(text, func(found string) string {
		host, port, _ := strings.Cut(found, ":")
		switch at, isAlias := c.aliases[host]; {
		case isAlias:
			return "localhost:" + c.port(t, at, port)
		case host == "0.0.0.0", host == "127.0.0.1":
			return "127.0.0.1:" + c.port(t, service, port)
		case c.file.Services[host].Image != "":
			return "127.0.0.1:" + c.port(t, host, port)
		}
		return found
	})
	if text == "0.0.0.0" {
		return "127.0.0.1"
	}
	if portAlone.MatchString(text) {
		return c.port(t, service, text)
	}
	replaced := []string{imageBinary, binary(), "$$", "$", "65532:65532", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())}
	for _, mount := range c.file.Services[service].Volumes {
		from, to, _ := strings.Cut(strings.TrimSuffix(mount, ":ro"), ":")
		if file, isFile := strings.CutPrefix(from, "./"); isFile {
			replaced = append(replaced, to, filepath.Join(c.folder, service, filepath.Base(file)))
		} else if !strings.HasPrefix(to, "/volumes/") {
			replaced = append(replaced, to, c.volume(from))
		}
	}
	return strings.NewReplacer(append(replaced, "/volumes", filepath.Join(c.folder, "volumes"))...).Replace(text)
}

func (c *composed) localAll(t *testing.T, service string, texts []string) (all []string) {
	t.Helper()
	for _, text := range texts {
		all = append(all, c.local(t, service, text))
	}
	return all
}

// files writes the files that are mounted into the service, with the addresses of this machine.
func (c *composed) files(t *testing.T, service string) {
	t.Helper()
	for _, mount := range c.file.Services[service].Volumes {
		file, isFile := strings.CutPrefix(mount, "./")
		if !isFile {
			continue
		}
		file, _, _ = strings.Cut(file, ":")
		text, err := os.ReadFile(filepath.Join(composeFolder, file))
		if err == nil {
			err = os.MkdirAll(filepath.Join(c.folder, service), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(c.folder, service, filepath.Base(file)), []byte(c.local(t, service, string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run starts the process of a service, with other arguments than those of the file if there are any.
func (c *composed) run(t *testing.T, service string, args ...string) *program {
	t.Helper()
	c.files(t, service)
	s := c.file.Services[service]
	if len(args) == 0 {
		args = s.Command
	}
	argv := c.localAll(t, service, append(slices.Clone(s.Entrypoint), args...))
	if s.Image == ownImage {
		argv = append([]string{binary()}, argv...)
	}
	var environ []string
	for name, value := range s.Environment {
		environ = append(environ, name+"="+c.local(t, service, value))
	}
	p := startCommand(t, c.folder, environ, exec.Command(testbed.FindProgram(t, argv[0]), argv[1:]...))
	c.running = append(c.running, p)
	return p
}

// healthy runs the health check of a service until it is content.
func (c *composed) healthy(t *testing.T, service string) {
	t.Helper()
	test := c.localAll(t, service, c.file.Services[service].Healthcheck.Test)
	testbed.Wait(t, startWithin, func() error {
		check := exec.CommandContext(t.Context(), testbed.FindProgram(t, test[1]), test[2:]...)
		if out, err := check.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", service, err, out)
		}
		return nil
	})
}

// step runs a service that ends, wants it to end well, and returns what it printed.
func (c *composed) step(t *testing.T, service string, args ...string) string {
	t.Helper()
	p := c.run(t, service, args...)
	if p.Exit(t, startWithin) != 0 {
		t.Fatalf("%s ended badly: %s", service, p.out)
	}
	return p.out.String()
}

// mysql does what the image of MySQL does at its first start: a schema, and a user with the password in a file.
func (c *composed) mysql(t *testing.T) {
	t.Helper()
	s := c.file.Services["mysql"]
	password, err := os.ReadFile(c.local(t, "mysql", s.Environment["MYSQL_PASSWORD_FILE"]))
	if err != nil {
		t.Fatal(err)
	}
	db := testbed.OpenMySQL(t, c.database.URL())
	for _, statement := range []string{
		fmt.Sprintf("CREATE DATABASE IF NOT EXISTS `%s`", s.Environment["MYSQL_DATABASE"]),
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", s.Environment["MYSQL_USER"], strings.TrimSpace(string(password))),
		fmt.Sprintf("GRANT ALL ON `%s`.* TO '%s'@'%%'", s.Environment["MYSQL_DATABASE"], s.Environment["MYSQL_USER"]),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// up starts everything in the order of depends_on.
func (c *composed) up(t *testing.T) {
	t.Helper()
	done := map[string]bool{}
	var start func(name string)
	start = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		for _, before := range slices.Sorted(maps.Keys(c.file.Services[name].DependsOn)) {
			start(before)
		}
		switch s := c.file.Services[name]; {
		case name == "mysql":
			c.mysql(t)
		case s.once():
			c.step(t, name)
		default:
			c.run(t, name)
			c.healthy(t, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.file.Services)) {
		start(name)
	}
}

// contents returns the files in the volumes.
func (c *composed) contents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join(c.folder, "volumes"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
