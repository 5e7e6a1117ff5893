//go:build linux || darwin

package sdk_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// In a folder where anybody may create files somebody else may have been first: what he wrote is not believed, though only he can write.
func TestStateFileOfSomebodyElse(t *testing.T) {
	const nobody = 65534
	owners := map[int]string{os.Geteuid(): "ok"}
	if os.Geteuid() == 0 { // only root can give files away; for everybody TestWhoseFile looks at the rule
		owners[nobody] = "503"
	}
	for owner, want := range owners {
		t.Run(strconv.Itoa(owner), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				saved(t, issuer, path)
				if err := os.Chown(path, owner, -1); err != nil {
					t.Fatal(err)
				}
				issuer.Down(true)
				s := serviceOf(t, issuer, sdk.WithStateFile(path))
				s.expect(t, "JWT", want, issuer.Token(api), sdk.Policy{})
			})
		})
	}
}

// ownedFile is what the system says of a file.
type ownedFile struct {
	fs.FileInfo

	owner uint32
	mode  fs.FileMode
}

// Sys implements fs.FileInfo.
func (f ownedFile) Sys() any { return &syscall.Stat_t{Uid: f.owner} }

// Mode implements fs.FileInfo.
func (f ownedFile) Mode() fs.FileMode { return f.mode }

func TestWhoseFile(t *testing.T) {
	mine := uint32(os.Geteuid())
	for _, tt := range []struct {
		name string
		file ownedFile
		want bool
	}{
		{"one's own", ownedFile{owner: mine, mode: 0o600}, true},
		{"root's", ownedFile{owner: 0, mode: 0o644}, true},
		{"somebody else's", ownedFile{owner: mine + 1, mode: 0o600}, false},
		{"the group may write", ownedFile{owner: mine, mode: 0o620}, false},
		{"everybody may write", ownedFile{owner: mine, mode: 0o602}, false},
	} {
		if got := sdk.OnlyOurs(tt.file); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A pipe in the file's place must not keep the verifier waiting for somebody who writes to it.
func TestStateFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newService(t, sdk.WithStateFile(path))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- s.Ready(ctx) }()
	select {
	case err := <-ready:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("it hangs")
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil { // let it go
			_ = f.Close()
		}
	}
}
