package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/admin/wire"
)

// secrets reads the files that value_file names, and takes down those of generate_file. Both are relative to the file that names them.
func (c *configuration) secrets(s *session) error {
	var errs []error
	taken := map[string]string{}
	for i := range c.document.Clients {
		client, at := &c.document.Clients[i], c.clients[i]
		secret := client.Secret
		if secret == nil {
			continue
		}
		node := child(at.node, "secret")
		switch {
		case (secret.ValueFile == "") == (secret.GenerateFile == ""):
			errs = append(errs, wrong(at.file, node.Line, "secret: exactly one of value_file and generate_file is needed"))
		case secret.ValueFile != "":
			value, err := s.readValue(beside(at.file, secret.ValueFile))
			if err != nil {
				errs = append(errs, wrong(at.file, node.Line, "value_file: %v", err))
			}
			secret.Value = value
		default:
			file := beside(at.file, secret.GenerateFile)
			if other, twice := taken[file]; twice {
				errs = append(errs, wrong(at.file, node.Line, "generate_file: the secret of client %q goes to %s, too", other, file))
			}
			taken[file], c.generate[client.Name], secret.Generate = client.Name, file, true
		}
	}
	return errors.Join(errs...)
}

// beside returns a path that is relative to the folder of a file.
func beside(file, name string) string {
	if filepath.IsAbs(name) || file == "-" {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(file), name)
}

// outbox holds the files that made secrets go to, opened before anything is made, so that no value gets lost.
type outbox struct {
	aside map[string]*os.File // by the name of the client
	final map[string]string
}

// open makes, for each client that the plan gives a secret, a file beside the one that it goes to.
func (c *configuration) open(plan wire.Plan) (*outbox, error) {
	box := &outbox{aside: map[string]*os.File{}, final: c.generate}
	for _, step := range plan.Steps {
		target, wanted := c.generate[step.Name]
		if step.Kind != "secret" || step.Verb != "add" || !wanted {
			continue
		}
		if err := replaceable(target); err != nil {
			return nil, errors.Join(err, box.close())
		}
		file, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*") // mode 0600
		if err != nil {
			return nil, errors.Join(usagef("make the file for the secret of client %q: %w", step.Name, err), box.close())
		}
		box.aside[step.Name] = file
	}
	return box, nil
}

// replaceable refuses a file that holds anything but a secret that a server made: it is not ours to replace.
func replaceable(name string) error {
	file, err := os.Open(name) //nolint:gosec // the user names it
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return usagef("look at %s, where a secret is to go: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return usagef("look at %s, where a secret is to go: %w", name, err)
	}
	if text = bytes.TrimSpace(text); len(text) > 0 && (!bytes.HasPrefix(text, []byte("cs_secret_")) || bytes.ContainsAny(text, " \t\r\n")) {
		return usagef("%s holds something else than a secret that a server made, and is left alone: name another file", name)
	}
	return nil
}

// keep writes the secrets that were made. A file of an earlier secret is replaced, since it is of no use any more; one whose client got
// no secret is left alone.
func (b *outbox) keep(made []wire.MadeSecret) error {
	var errs []error
	for _, secret := range made {
		file := b.aside[secret.Name]
		if secret.Value == "" || file == nil {
			if _, wanted := b.final[secret.Name]; wanted {
				errs = append(errs, fmt.Errorf("secret %s of client %q was made, but its value did not arrive: `countersign secret rotate %s`", secret.Secret, secret.Name, secret.Client))
			}
			continue
		}
		delete(b.aside, secret.Name)
		err := finish(file, secret.Value)
		if err == nil {
			err = os.Rename(file.Name(), b.final[secret.Name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("secret %s of client %q was made, but is not in %s: %w", secret.Secret, secret.Name, b.final[secret.Name], err))
		}
	}
	return errors.Join(errs...)
}

// close removes what was not needed.
func (b *outbox) close() error {
	var errs []error
	for _, file := range b.aside {
		errs = append(errs, abandon(file))
	}
	return errors.Join(errs...)
}
