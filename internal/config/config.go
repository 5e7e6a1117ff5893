// Package config fills a command's settings: flags over environment over one YAML file over defaults. Each setting has one
// name in three spellings: `--token-store`, `COUNTERSIGN_TOKEN_STORE`, and `token_store` in the file. Whatever is unknown or
// does not fit is an error that names the setting, the value and what is allowed.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every environment variable that is a setting.
const EnvPrefix = "COUNTERSIGN_"

// fileFlag names the YAML file.
const fileFlag = "config"

// Bind adds to flags one flag for each field of settings, a pointer to a struct, and --config. A field's tags are `name` (the
// flag; without it the field is no setting), `help`, `default`, and `secret:"true"` for a value that can also be given as a
// file, by the name with `-file` behind it, and that is never printed. An embedded struct adds its own fields. Fields are strings, integers, booleans, durations and
// string lists. It panics on a field of another type, which is a mistake of the program. Settings that have a field named config
// themselves, for a document of another form, are not read from a file.
func Bind(flags *pflag.FlagSet, settings any) {
	all := fields(settings)
	if !nameFile(all) {
		flags.String(fileFlag, "", "YAML `file` with settings\n"+EnvPrefix+"CONFIG")
	}
	for _, f := range all {
		flags.VarPF(&pending{field: f, text: f.fallback}, f.name, f.short, f.usage(!nameFile(all))).NoOptDefVal = f.noOption()
		if f.secret {
			text := "`file` that holds --" + f.name + "\n" + f.env() + "_FILE"
			if !nameFile(all) {
				text += ", " + f.key() + "_file"
			}
			flags.String(f.name+"-file", "", text)
		}
	}
}

// nameFile reports whether the file that --config names is a setting like others.
func nameFile(known []field) bool {
	return slices.ContainsFunc(known, func(f field) bool { return f.name == fileFlag })
}

// Defaults fills settings, which Bind was not given, with their defaults. It panics on one that does not fit.
func Defaults(settings any) {
	for _, f := range fields(settings) {
		if err := f.set(f.fallback); err != nil {
			panic(err)
		}
	}
}

// Load fills settings, which Bind was given, from flags, from environ (as os.Environ returns it) and from the file.
// The error joins everything that is wrong, so that it can be mended at once. others are the flags of other commands that Bind was
// given: variables and keys that are settings of theirs are let pass, so that one environment or file can serve several commands.
func Load(flags *pflag.FlagSet, environ []string, settings any, others ...*pflag.FlagSet) error {
	known, foreign := fields(settings), bound(others)
	merged := koanf.New(".")
	env := environment(environ)
	path, _ := flags.GetString(fileFlag)
	if path == "" {
		path = env[EnvPrefix+"CONFIG"]
	}
	if path != "" && !nameFile(known) {
		if err := merged.Load(file.Provider(path), yaml.Parser()); err != nil {
			return fmt.Errorf("read settings file %s: %w", path, err)
		}
	}
	errs := unknownKeys(merged, known, foreign, path)
	errs = append(errs, unknownVariables(env, known, foreign)...)
	layers := map[string]any{}
	for _, f := range known {
		if err := f.layer(layers, merged, env, flags); err != nil {
			errs = append(errs, err)
		}
	}
	if err := merged.Load(confmap.Provider(layers, ""), nil); err != nil {
		return fmt.Errorf("merge settings: %w", err)
	}
	for _, f := range known {
		raw := merged.Get(f.key())
		if raw == nil {
			raw = f.fallback
		}
		if err := f.set(raw); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// layer puts the value that environment or flags give to the setting into layers. A secret may come as a file at each level.
func (f field) layer(layers map[string]any, merged *koanf.Koanf, env map[string]string, flags *pflag.FlagSet) error {
	path, origin := "", ""
	if f.secret && merged.Exists(f.key()+"_file") {
		path, origin = merged.String(f.key()+"_file"), f.key()+"_file"
		if merged.Exists(f.key()) {
			return fmt.Errorf("%s and %s_file are both set: allowed is one of them", f.key(), f.key())
		}
	}
	value, found := env[f.env()]
	if at, ok := env[f.env()+"_FILE"]; ok && f.secret {
		if found {
			return fmt.Errorf("%s and %s_FILE are both set: allowed is one of them", f.env(), f.env())
		}
		path, origin = at, f.env()+"_FILE"
	} else if found {
		path = ""
		layers[f.key()] = value
	}
	if flag := flags.Lookup(f.name + "-file"); f.secret && flag != nil && flag.Changed {
		path, origin = flag.Value.String(), "--"+f.name+"-file"
	}
	if flag := flags.Lookup(f.name); flag != nil && flag.Changed {
		if flags.Changed(f.name+"-file") && f.secret {
			return fmt.Errorf("--%s and --%s-file are both set: allowed is one of them", f.name, f.name)
		}
		path = ""
		layers[f.key()] = flag.Value.String()
	}
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the file that %s names: %w", origin, err)
	}
	layers[f.key()] = strings.TrimRight(string(text), "\r\n")
	return nil
}

func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, EnvPrefix) {
			env[name] = value
		}
	}
	return env
}

func unknownKeys(merged *koanf.Koanf, known, foreign []field, path string) (errs []error) {
	allowed, passed := names(known, field.key, "_file"), names(foreign, field.key, "_file")
	for _, key := range merged.Keys() {
		if !slices.Contains(allowed, key) && !slices.Contains(passed, key) {
			errs = append(errs, fmt.Errorf("unknown setting %q in %s: allowed are %s", key, path, strings.Join(allowed, ", ")))
		}
	}
	return errs
}

// serviceLink is what Kubernetes sets in every pod for a Service, here for one whose name begins with "countersign".
var serviceLink = regexp.MustCompile(`^[A-Z0-9_]+(_SERVICE_HOST=|_SERVICE_PORT(_[A-Z0-9_]+)?=|_PORT(_[0-9]+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://|` +
	`_PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=)`)

// unknownVariables reports variables that are no setting of this command. Those that begin with COUNTERSIGN_TEST_ are the tests' own.
func unknownVariables(env map[string]string, known, foreign []field) (errs []error) {
	allowed, passed := append(names(known, field.env, "_FILE"), EnvPrefix+"CONFIG"), names(foreign, field.env, "_FILE")
	for name, value := range env {
		if !slices.Contains(allowed, name) && !slices.Contains(passed, name) && !strings.HasPrefix(name, EnvPrefix+"TEST_") && !serviceLink.MatchString(name+"="+value) {
			errs = append(errs, fmt.Errorf("unknown variable %s in the environment: allowed are %s", name, strings.Join(allowed, ", ")))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

func names(known []field, spell func(field) string, fileSuffix string) (list []string) {
	for _, f := range known {
		list = append(list, spell(f))
		if f.secret {
			list = append(list, spell(f)+fileSuffix)
		}
	}
	return list
}

// bound returns the settings that Bind made flags of.
func bound(sets []*pflag.FlagSet) (list []field) {
	for _, flags := range sets {
		flags.VisitAll(func(flag *pflag.Flag) {
			if value, ok := flag.Value.(*pending); ok {
				list = append(list, value.field)
			}
		})
	}
	return list
}

// pending is a flag's value before it is known to fit: only Load judges, so that every source gets the same message.
type pending struct {
	field field
	text  string
}

func (p *pending) String() string     { return p.text }
func (p *pending) Set(s string) error { p.text = s; return nil }
func (p *pending) Type() string {
	if p.field.value.Kind() == reflect.Bool {
		return "bool"
	}
	return "value"
}
