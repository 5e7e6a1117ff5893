package e2e

import (
	"testing"
)

func TestUp(t *testing.T) {
	s := startUp(t)
	issued := token(t, s.Issuer, s.client("service-a"), nil)
	if !active(t, s.Issuer, s.client("service-b"), issued) {
		t.Error("a fresh token is not active")
	}
	revoke(t, s.Issuer, s.client("service-a"), issued)
}

func TestServer(t *testing.T) {
	seeded := seedClients(t, "sqlite:"+t.TempDir()+"/x.db", t.TempDir()+"/master.key")
	s := startServer(t, seeded.Settings()...)
	for _, api := range []string{jwtAPI, opaqueAPI} {
		issued := token(t, s.Issuer, seeded.Caller, map[string][]string{"resource": {api}})
		if !active(t, s.Issuer, seeded.Server, issued) {
			t.Error("a fresh token is not active")
		}
	}
	s.Pause(t)
	s.Resume(t)
	s.Kill(t)
	s.Start(t)
}
