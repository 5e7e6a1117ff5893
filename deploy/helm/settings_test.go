package helm_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/privatefile"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/lb/balancer"
	"github.com/countersign/countersign/server/instance"
)

// The programs take what their pods give them: volumes are laid out as kubelet would, and each program checks its configuration.
func TestProgramsTakeTheirConfiguration(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, one := range slices.Concat(ofKind(objects, "Deployment"), ofKind(objects, "Job")) {
			t.Run(one.Metadata.Name, func(t *testing.T) {
				c := one.Spec.Template.Spec.Containers[0]
				root := layOut(t, objects, one.Spec.Template.Spec)
				moved := make([]string, len(c.Args))
				for i, arg := range c.Args {
					moved[i] = strings.ReplaceAll(arg, "/etc/countersign/", root+"/etc/countersign/")
				}
				_, path, _ := strings.Cut(moved[1], "--config=")
				addresses, drain := map[string]string{}, 0.0
				switch c.Name {
				case "server":
					settings := checkServer(t, moved[1:])
					public := "http"
					if settings.TLSCert != "" {
						public = "https"
					}
					addresses[public], addresses["admin"] = settings.Listen, settings.AdminListen
					drain = (settings.DrainDelay + settings.DrainTimeout).Seconds()
				case "migrate":
					_, path, _ := strings.Cut(moved[2], "--database-file=")
					if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "mysql://") {
						t.Errorf("%s: %v", path, err)
					}
				case "gateway":
					if err := gateway.Check(path); err != nil {
						t.Error(err)
					}
					var document gateway.Document
					decode(t, path, &document)
					for _, l := range document.Listeners {
						addresses[l.Name] = l.Address
					}
					addresses["admin"], drain = document.Admin.Address, (document.Drain.Delay + document.Drain.Timeout).Seconds()
				case "lb":
					if err := balancer.Check(path); err != nil {
						t.Error(err)
					}
					var document balancer.Document
					decode(t, path, &document)
					for _, l := range document.Listeners {
						addresses[l.Name] = l.Address
					}
					addresses["admin"], drain = document.Admin.Address, (document.Drain.Delay + document.Drain.Timeout).Seconds()
				default:
					t.Errorf("no program is known to run in the container %q", c.Name)
				}
				listens(t, one, addresses, drain)
			})
		}
	})
}

func checkServer(t *testing.T, args []string) (settings instance.Settings) {
	t.Helper()
	if err := loaded(&settings, args); err != nil {
		t.Fatal(err)
	}
	if err := settings.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := seal.ReadKeyFile(settings.MasterKeyFile); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(settings.Database, "mysql://") {
		t.Errorf("database %q", settings.Database)
	}
	for _, file := range []string{settings.TLSCert, settings.TLSKey, settings.BootstrapAdminSecretFile} {
		if _, err := os.Stat(file); file != "" && err != nil {
			t.Error(err)
		}
	}
	return settings
}

// loaded reads settings as the program does.
func loaded(settings any, args []string) error {
	flags := pflag.NewFlagSet("program", pflag.ContinueOnError)
	config.Bind(flags, settings)
	if err := flags.Parse(args); err != nil {
		return err
	}
	return config.Load(flags, nil, settings)
}

// listens checks that the container's ports are those at which the program listens, on every address, and that the pod is given the
// time that draining takes.
func listens(t *testing.T, one object, addresses map[string]string, drain float64) {
	t.Helper()
	pod := one.Spec.Template.Spec
	for _, port := range pod.Containers[0].Ports {
		if want := ":" + strconv.Itoa(port.ContainerPort); addresses[port.Name] != want {
			t.Errorf("port %s is %s, and the program listens on %q", port.Name, want, addresses[port.Name])
		}
		delete(addresses, port.Name)
	}
	if len(addresses) > 0 {
		t.Errorf("ports of the program that the pod does not have: %v", addresses)
	}
	if one.Kind == "Deployment" && float64(pod.TerminationGracePeriodSeconds) <= drain {
		t.Errorf("draining takes %v s, and the pod is given %d", drain, pod.TerminationGracePeriodSeconds)
	}
}

// layOut puts the files of a pod's volumes under a new folder, which is named in configurations in place of the root.
func layOut(t *testing.T, objects []object, p pod) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, mount := range p.Containers[0].VolumeMounts {
		folder := root + mount.MountPath
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(p.Volumes, func(v volume) bool { return v.Name == mount.Name })
		if i < 0 {
			t.Fatalf("mount %s has no volume", mount.Name)
		}
		v := p.Volumes[i]
		if v.ConfigMap != nil {
			for _, item := range v.ConfigMap.Items {
				put(t, root, filepath.Join(folder, item.Path), configMap(t, objects, v.ConfigMap.Name, item.Key))
			}
			continue
		}
		secrets := []source{}
		if v.Secret != nil {
			secrets = append(secrets, source{Name: v.Secret.SecretName, Items: v.Secret.Items})
		}
		for _, s := range v.Projected.Sources {
			secrets = append(secrets, s.Secret)
		}
		if len(secrets) == 0 && v.EmptyDir == nil {
			t.Fatalf("volume %s is nothing that is known", v.Name)
		}
		for _, s := range secrets {
			for _, item := range s.Items {
				put(t, root, filepath.Join(folder, item.Path), secret(t, s.Name, item.Key))
			}
		}
	}
	return root
}

func put(t *testing.T, root, path, text string) {
	t.Helper()
	text = strings.NewReplacer("/etc/countersign/", root+"/etc/countersign/", "/var/lib/countersign/", root+"/var/lib/countersign/").Replace(text)
	if err := privatefile.Write(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// configMap returns the text under a key of a ConfigMap: of the chart's own, or of those that the values files name.
func configMap(t *testing.T, objects []object, name, key string) string {
	t.Helper()
	if own := named(objects, "ConfigMap", name); own != nil {
		if own.Data[key] == "" {
			t.Fatalf("ConfigMap %s has no key %s", name, key)
		}
		return own.Data[key]
	}
	switch name + "/" + key {
	case "company-ca/bundle.pem":
		certificate, _ := pair(t)
		return certificate
	case "lb-document/lb.yaml":
		return `{listeners: [{name: entry, address: ":8080", pool: a}], admin: {address: ":9093"}, drain: {delay: 10s, timeout: 30s}, pools: {a: {targets: [{url: "http://10.0.0.1"}]}}}`
	}
	t.Fatalf("ConfigMap %s with the key %s is made by nobody", name, key)
	return ""
}

// secret returns the text under a key of a Secret that the values files name.
func secret(t *testing.T, name, key string) string {
	t.Helper()
	switch name + "/" + key {
	case "countersign-master-key/master.key", "keys/master":
		path := filepath.Join(t.TempDir(), "master.key")
		if _, err := seal.CreateKeyFile(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	case "countersign-database/url", "mysql/dsn":
		return "mysql://countersign:p%40ss@mysql.internal:3306/countersign?tls=true\n"
	case "redis/url", "redis/gateway-url":
		return "rediss://countersign:p%40ss@redis.internal:6379/0\n"
	case "countersign-bootstrap-admin/secret", "first-admin/secret", "gateway/client-secret":
		return "a-secret-of-many-characters\n"
	case "gateway-document/document.yaml":
		return `{listeners: [{name: entry, address: ":8080"}], admin: {address: ":8091"}, drain: {delay: 10s, timeout: 30s},
			pools: {a: {targets: [{url: "http://10.0.0.1"}]}}, routes: [{name: all, match: {prefix: /}, authentication: none, pool: a}]}`
	}
	if strings.HasSuffix(name, "-tls") {
		certificate, private := pair(t)
		return map[string]string{"tls.crt": certificate, "tls.key": private}[key]
	}
	t.Fatalf("Secret %s with the key %s is made by nobody", name, key)
	return ""
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := document.Decode(path, text, into); err != nil {
		t.Fatal(err)
	}
}

// pair returns a certificate and its private key in PEM.
func pair(t *testing.T) (certificate, private string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	made := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}
