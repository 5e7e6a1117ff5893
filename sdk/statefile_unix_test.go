//go:build linux || darwin

package sdk_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// In a folder where anybody may create files somebody else may have been first: what he wrote is not believed, though only he can write.
func TestStateFileOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	for _, tt := range []struct {
		name  string
		owner int
		want  string
	}{
		{"one's own", 0, "ok"},
		{"somebody else's", nobody, "503"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				saved(t, issuer, path)
				if err := os.Chown(path, tt.owner, -1); err != nil {
					t.Fatal(err)
				}
				issuer.Down(true)
				s := serviceOf(t, issuer, sdk.WithStateFile(path))
				s.expect(t, "JWT", tt.want, issuer.Token(api), sdk.Policy{})
			})
		})
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
