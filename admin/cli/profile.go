package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/internal/privatefile"
)

// Profile says where a system is and as which client to administer it. Either Bootstrap is set, or all others but AuthMethod.
type Profile struct {
	Issuer   string `yaml:"issuer,omitempty"`    // issuer identifier: an https URL, or http on loopback
	AdminURL string `yaml:"admin_url,omitempty"` // of the listener that serves /admin/v1, by the same rule
	ClientID string `yaml:"client_id,omitempty"`
	// SecretFile is the absolute path of the file that holds the client's secret.
	SecretFile string `yaml:"client_secret_file,omitempty"`
	// AuthMethod is client_secret_basic, or empty for it, or client_secret_post.
	AuthMethod string `yaml:"token_endpoint_auth_method,omitempty"`
	// Bootstrap is the absolute path of the bootstrap.json that `countersign up` keeps: it has all of the above.
	Bootstrap string `yaml:"bootstrap,omitempty"`
}

// profiles is the file.
type profiles struct {
	Current  string             `yaml:"current,omitempty"`
	Profiles map[string]Profile `yaml:"profiles"`
}

// The names of the profiles' folder and file.
const (
	profileFolder = "countersign"
	profileFile   = "profiles.yaml"
)

// WriteProfile adds the profile, or replaces the one of that name, in the file of the user whose environment this is. It becomes the
// current one if there is none. The file has mode 0600 and is replaced as a whole.
func WriteProfile(environ []string, name string, p Profile) error {
	return changeProfiles(environ, func(all *profiles) error {
		if err := validProfile(name, p); err != nil {
			return err
		}
		all.Profiles[name] = p
		if all.Current == "" {
			all.Current = name
		}
		return nil
	})
}

// CurrentProfile returns the name of the profile that commands take unless they are told otherwise, empty if there is none.
func CurrentProfile(environ []string) (string, error) {
	path, err := profilesPath(environ)
	if err != nil {
		return "", err
	}
	all, err := readProfiles(path)
	if err != nil {
		return "", err
	}
	return all.Current, nil
}

func changeProfiles(environ []string, change func(*profiles) error) error {
	path, err := profilesPath(environ)
	if err != nil {
		return err
	}
	all, err := readProfiles(path)
	if err != nil {
		return err
	}
	if err := change(all); err != nil {
		return err
	}
	text, err := encodeYAML(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the profiles: %w", err)
	}
	return privatefile.Write(path, text)
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// validProfile tells what is wrong with a profile.
func validProfile(name string, p Profile) error {
	if !profileName.MatchString(name) {
		return usagef("profile %q: a name has 1 to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit", name)
	}
	for member, path := range map[string]string{"client_secret_file": p.SecretFile, "bootstrap": p.Bootstrap} {
		if path != "" && !filepath.IsAbs(path) {
			return usagef("profile %q: %s is %q: allowed is an absolute path", name, member, path)
		}
	}
	if p.Bootstrap != "" {
		if p != (Profile{Bootstrap: p.Bootstrap}) {
			return usagef("profile %q: bootstrap stands alone, the file it names has all the rest", name)
		}
		return nil
	}
	if p.ClientID == "" || p.SecretFile == "" {
		return usagef("profile %q: issuer, admin_url, client_id and client_secret_file are needed, or bootstrap alone", name)
	}
	if err := validClient(p.ClientID); err != nil {
		return usagef("profile %q: client_id %w", name, err)
	}
	if err := validMethod(p.AuthMethod); err != nil {
		return usagef("profile %q: %w", name, err)
	}
	_, issuer := secureURL("issuer", p.Issuer)
	_, admin := secureURL("admin_url", p.AdminURL)
	if err := errors.Join(issuer, admin); err != nil {
		return usagef("profile %q: %w", name, err)
	}
	return nil
}

// profilesPath returns where the file is, by the XDG Base Directory Specification, and elsewhere where os.UserConfigDir says.
func profilesPath(environ []string) (string, error) {
	folder, home := variable(environ, "XDG_CONFIG_HOME"), variable(environ, "HOME")
	switch runtime.GOOS {
	case "windows":
		folder = variable(environ, "AppData")
	case "darwin", "ios":
		folder = ""
		if home != "" {
			folder = filepath.Join(home, "Library", "Application Support")
		}
	default:
		if !filepath.IsAbs(folder) { // a relative one is to be ignored, says the specification
			folder = ""
			if home != "" {
				folder = filepath.Join(home, ".config")
			}
		}
	}
	if folder == "" {
		return "", errors.New("find the profiles: the environment names no home folder (HOME)")
	}
	return filepath.Join(folder, profileFolder, profileFile), nil
}

func variable(environ []string, name string) (value string) {
	for _, entry := range environ {
		if found, text, ok := strings.Cut(entry, "="); ok && found == name {
			value = text
		}
	}
	return value
}

// readProfiles returns what the file holds, nothing if there is none. It refuses a file that others could have written or can read:
// it says to whom the secrets are sent.
func readProfiles(path string) (*profiles, error) {
	all := &profiles{}
	file, err := os.Open(path) //nolint:gosec // in the user's own configuration folder
	if errors.Is(err, fs.ErrNotExist) {
		all.Profiles = map[string]Profile{}
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the profiles: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, usagef("%s has mode %04o, so others can read or change it: chmod 600 %s", path, mode, path)
	}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(all); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("%s: %w", path, err)
	}
	if all.Profiles == nil {
		all.Profiles = map[string]Profile{}
	}
	return all, nil
}

// bootstrapFile is what of a bootstrap.json is needed here.
type bootstrapFile struct {
	Issuer   string `json:"issuer"`
	AdminURL string `json:"admin_url"`
	Clients  map[string]struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	} `json:"clients"`
}

// target reads what the profile names.
func (p Profile) target(name string) (target, error) {
	if err := validProfile(name, p); err != nil {
		return target{}, err
	}
	t := target{profile: name, issuer: p.Issuer, adminURL: p.AdminURL, clientID: p.ClientID, method: p.AuthMethod}
	if p.Bootstrap == "" {
		secret, err := readSecret(p.SecretFile)
		t.secret = secret
		return t, err
	}
	text, err := os.ReadFile(p.Bootstrap)
	if errors.Is(err, fs.ErrNotExist) {
		return target{}, usagef("profile %q names %s, which does not exist: start `countersign up` there, choose another profile, or `countersign profile remove %s`",
			name, p.Bootstrap, name)
	}
	if err != nil {
		return target{}, fmt.Errorf("profile %q: %w", name, err)
	}
	var b bootstrapFile
	if err := json.Unmarshal(text, &b); err != nil || b.Clients["admin"].ID == "" {
		return target{}, fmt.Errorf("profile %q: %s is no bootstrap.json of `countersign up`", name, p.Bootstrap)
	}
	t.issuer, t.adminURL, t.clientID, t.secret = b.Issuer, b.AdminURL, b.Clients["admin"].ID, b.Clients["admin"].Secret
	t.start = "countersign up --data-dir " + filepath.Dir(p.Bootstrap)
	return t, nil
}

// maxSecret bounds a file that holds a secret, in bytes.
const maxSecret = 64 << 10

// readSecret reads a secret from a file, without the end of its line.
func readSecret(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return "", usagef("read the secret or token: %w", err)
	}
	defer func() { _ = file.Close() }()
	return secretFrom(file, path)
}

func secretFrom(in io.Reader, name string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the secret or token: %w", err)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 || len(text) > maxSecret {
		return "", usagef("read the secret or token: %s is empty or too long", name)
	}
	return string(text), nil
}
