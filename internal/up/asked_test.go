package up_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// Commands of the configuration are asked on the control socket, and a part has the environment that it is given.
func TestAsked(t *testing.T) {
	folder, address := openFolder(t), up.Address(testbed.FreePort(t))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	system, err := up.Start(t.Context(), up.Config{
		Folder: folder, Program: program, Argument: partArgument, Logger: slog.New(slog.DiscardHandler), StartWithin: 20 * time.Second, StopWithin: time.Second,
		Parts: []up.Part{{
			Name: "one", Role: "one", Settings: partSettings{Listen: address}, Ready: "http://" + address, Environ: append(os.Environ(), toldVariable+"=this"),
		}},
		Asked: map[string]func(context.Context, string) (json.RawMessage, error){
			"echo": func(_ context.Context, argument string) (json.RawMessage, error) { return json.Marshal(argument) },
			"fail": func(context.Context, string) (json.RawMessage, error) { return nil, errors.New("it cannot be told") },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = system.Stop() })
	control, err := system.OpenControl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := control.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	if got, err := up.Ask(t.Context(), folder.Path, "echo two words"); err != nil || string(got.Data) != `"two words"` {
		t.Errorf("%s, %v", got.Data, err)
	}
	if _, err := up.Ask(t.Context(), folder.Path, "fail"); err == nil || err.Error() != "it cannot be told" {
		t.Errorf("error %v", err)
	}
	if parts, err := up.Tell(t.Context(), folder.Path, "status"); err != nil || len(parts) != 1 {
		t.Errorf("%v, %v", parts, err)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "this" {
		t.Errorf("the part was told %q, %v", text, err)
	}
}
