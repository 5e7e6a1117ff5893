package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// What was revoked after a backup stays revoked when the backup is restored, and so does everything else.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "db")
	world := seedClients(t, "sqlite:"+file, filepath.Join(folder, "master.key"))
	s := startServer(t, world.Settings()...)
	before := token(t, s.Issuer, world.Caller, asking(opaqueAPI, ""))
	s.Stop(t)
	backup := copied(t, file, t.TempDir())

	s.Start(t)
	after := token(t, s.Issuer, world.Caller, asking(jwtAPI, ""))
	for range 3 { // the log moves on, and so does what a token of this time is decided from
		revoke(t, s.Issuer, world.Caller, token(t, s.Issuer, world.Caller, asking(jwtAPI, "")))
	}
	late := token(t, s.Issuer, world.Caller, asking(jwtAPI, ""))
	revoke(t, s.Issuer, world.Caller, before)
	revoke(t, s.Issuer, world.Caller, after)
	s.Stop(t)

	copied(t, filepath.Join(backup, "db"), folder)
	run := startProgram(t, folder, nil, "migrate", "restored", "--database", "sqlite:"+file)
	if code := run.Exit(t, endWithin); code != 0 {
		t.Fatalf("migrate restored ends with %d", code)
	}
	s.Start(t)
	for name, old := range map[string]string{"revoked, in the backup": before, "revoked, not in the backup": after, "not revoked, not in the backup": late} {
		if active(t, s.Issuer, world.Server, old) {
			t.Errorf("a token that was %s is active", name)
		}
	}
	if fresh := token(t, s.Issuer, world.Caller, asking(jwtAPI, "")); !active(t, s.Issuer, world.Server, fresh) {
		t.Error("a token from after the restore is not active")
	}
}

// copied copies a database of which no server has hold, with what belongs to it, into a folder.
func copied(t *testing.T, file, folder string) string {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		target := filepath.Join(folder, "db"+suffix)
		text, err := os.ReadFile(file + suffix)
		if os.IsNotExist(err) {
			_ = os.Remove(target)
			continue
		}
		if err == nil {
			err = os.WriteFile(target, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
