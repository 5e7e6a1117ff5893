package testbed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// watch waits for the end of its input, which comes when our process closes the pipe or dies, and
// removes the folder. It tries again because a dying server may still be writing there.
const watch = `cat >/dev/null; n=0; until rm -rf -- "$1" || [ "$n" -ge 100 ]; do n=$((n+1)); sleep 0.1; done`

// scratch is the folder that holds all that this process's servers write.
type scratch struct {
	dir   string
	lease io.Closer // the watcher waits for this to close; nobody closes it, the process's end does
}

// processScratch is shared because only one watcher is wanted, and a test binary has no end of its
// own at which to clean up: its servers' folders have to go when the process does.
//
//nolint:gochecknoglobals // see above
var processScratch = sync.OnceValues(openScratch)

func openScratch() (*scratch, error) {
	dir, err := os.MkdirTemp("", "testbed-")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	watcher := command("/bin/sh", "-c", watch, "testbed-watch", dir)
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // outlives us for a moment, by design
	lease, err := watcher.StdinPipe()
	if err == nil {
		err = watcher.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch scratch folder: %w", err), os.RemoveAll(dir))
	}
	return &scratch{dir: dir, lease: lease}, nil
}

// newFolder makes a new empty folder below this process's scratch folder.
func newFolder(name string) (string, error) {
	s, err := processScratch()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(s.dir, name+"-")
	if err != nil {
		return "", fmt.Errorf("make folder for %s: %w", name, err)
	}
	return dir, nil
}

// program finds an executable of a server. Debian keeps some where only root's PATH leads.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: tests need the Debian packages mariadb-server, redis-server, nginx, haproxy and caddy, and more that scripts/prerequisites names; "+
		"as root on Debian, make test installs them", err)
}
