package helm_test

import (
	"slices"
	"strings"
	"testing"
)

// Pods have no rights that they do not need.
func TestPodsAreConfined(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, one := range slices.Concat(ofKind(objects, "Deployment"), ofKind(objects, "Job")) {
			pod := one.Spec.Template.Spec
			c := pod.Containers[0]
			for what, holds := range map[string]bool{
				"has no token of Kubernetes":       pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken,
				"has no variables of Services":     pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks,
				"is not root":                      pod.SecurityContext.RunAsNonRoot,
				"has the runtime's seccomp filter": pod.SecurityContext.SeccompProfile.Type == "RuntimeDefault",
				"gains no rights":                  c.SecurityContext.AllowPrivilegeEscalation != nil && !*c.SecurityContext.AllowPrivilegeEscalation,
				"cannot write to its image":        c.SecurityContext.ReadOnlyRootFilesystem,
				"has no capabilities":              slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}),
				"has a limit of memory":            c.Resources.Limits["memory"] != "",
				"can read its Secrets":             pod.SecurityContext.FSGroup > 0,
			} {
				if !holds {
					t.Errorf("%s %s: not true that it %s", one.Kind, one.Metadata.Name, what)
				}
			}
			for _, mount := range c.VolumeMounts {
				// What is mounted by subPath never changes, and certificates do.
				if mount.SubPath != "" || !mount.ReadOnly && mount.MountPath != "/var/lib/countersign" {
					t.Errorf("%s %s: mount %+v", one.Kind, one.Metadata.Name, mount)
				}
			}
			for _, v := range pod.Volumes {
				// internal/seal reads a master key that root owns and the group may read, and none that others may.
				if len(v.Projected.Sources) > 0 && v.Projected.DefaultMode != 0o440 || v.Secret != nil && v.Secret.DefaultMode != 0o440 {
					t.Errorf("%s %s: files of volume %s have another mode than 0440", one.Kind, one.Metadata.Name, v.Name)
				}
			}
			if account := named(objects, "ServiceAccount", pod.ServiceAccountName); one.Kind == "Deployment" &&
				(account == nil || account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken) {
				t.Errorf("Deployment %s: its account is missing or has a token mounted", one.Metadata.Name)
			}
		}
	})
}

// Probes ask the admin port, at which /readyz tells of draining.
func TestProbes(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, one := range ofKind(objects, "Deployment") {
			c := one.Spec.Template.Spec.Containers[0]
			for want, got := range map[string]probe{"/healthz": c.StartupProbe, "/readyz": c.ReadinessProbe, "/healthz ": c.LivenessProbe} {
				if got.HTTPGet.Path != strings.TrimSpace(want) || got.HTTPGet.Port != "admin" {
					t.Errorf("Deployment %s: probe %+v, want %s of admin", one.Metadata.Name, got, want)
				}
			}
		}
	})
}

// Secrets come from Secrets: there are none in what the chart makes, and no variable bears one by value.
func TestNoSecretInline(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		if len(ofKind(objects, "Secret")) > 0 {
			t.Error("the chart makes a Secret")
		}
		for _, one := range objects {
			for name, text := range one.Data {
				for _, sign := range []string{"mysql://", "redis://", "rediss://", "cs_secret_", "cs_master_", "PRIVATE KEY", "client_secret:", "database:", "token_store:"} {
					if strings.Contains(text, sign) {
						t.Errorf("ConfigMap %s: %s holds %s", one.Metadata.Name, name, sign)
					}
				}
			}
			for _, c := range one.Spec.Template.Spec.Containers {
				for _, variable := range c.Env {
					if strings.HasPrefix(variable.Name, "COUNTERSIGN_") {
						t.Errorf("%s %s: %s is set; settings belong into the file", one.Kind, one.Metadata.Name, variable.Name)
					}
				}
			}
		}
	})
}

// The server reads its settings at its start, so that new ones are new pods; gateway and load balancer follow their documents.
func TestChecksumOfSettings(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, one := range ofKind(objects, "Deployment") {
			isServer := one.Spec.Template.Spec.Containers[0].Name == "server"
			if got := one.Spec.Template.Metadata.Annotations["checksum/config"]; (len(got) == 64) != isServer {
				t.Errorf("Deployment %s: checksum %q", one.Metadata.Name, got)
			}
		}
	})
}
