package cli

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/admin/wire"
)

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	yamlUnknown = regexp.MustCompile(`^field (.+) not found in type wire\.(\w+)$`)
	yamlKind    = regexp.MustCompile("^cannot unmarshal (!!\\w+)(?: `(.*)`)? into (.+)$")
	yamlTwice   = regexp.MustCompile(`^mapping key (".+") already defined at line (\d+)$`)
)

// explainYAML says in plain words, and with file and line, what the decoder complains of.
func explainYAML(file string, err error) error {
	complaints := []string{err.Error()}
	if many, ok := errors.AsType[*yaml.TypeError](err); ok {
		complaints = many.Errors
	}
	var errs []error
	for _, text := range complaints {
		at := yamlLine.FindStringSubmatch(text)
		if at == nil {
			errs = append(errs, usagef("%s: %s", file, strings.TrimPrefix(text, "yaml: ")))
			continue
		}
		line, _ := strconv.Atoi(at[1])
		errs = append(errs, wrong(file, line, "%s", plainYAML(at[2])))
	}
	return UsageError{errors.Join(errs...)}
}

func plainYAML(text string) string {
	if m := yamlUnknown.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("unknown member %q: allowed are %s", m[1], strings.Join(members(m[2]), ", "))
	}
	if m := yamlTwice.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s stands in line %s already", m[1], m[2])
	}
	if m := yamlKind.FindStringSubmatch(text); m != nil {
		found := map[string]string{"!!seq": "a list", "!!map": "a mapping", "!!null": "nothing"}[m[1]]
		if found == "" {
			found = strconv.Quote(m[2])
		}
		return fmt.Sprintf("%s stands where %s belongs", found, wanted(m[3]))
	}
	return text
}

// wanted tells a Go type to people who write YAML.
func wanted(goType string) string {
	switch goType = strings.TrimPrefix(goType, "*"); {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["), strings.HasPrefix(goType, "wire."):
		return "a mapping"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case goType == "bool":
		return "true or false"
	}
	return "a text"
}

// members returns what may stand in a part of a document.
func members(part string) (list []string) {
	for _, v := range []any{
		wire.Document{},
		wire.APIDecl{},
		wire.IssuerDecl{},
		wire.ClientDecl{},
		wire.GrantDecl{},
		wire.ExchangeDecl{},
		wire.ExchangeScope{},
		wire.FederationRule{},
		wire.ClaimMatch{},
		wire.SecretDecl{},
		wire.Scope{},
	} {
		t := reflect.TypeOf(v)
		if t.Name() != part {
			continue
		}
		for _, field := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			if options == "inline" {
				continue // its fields come of themselves
			}
			if name == "" {
				name = strings.ToLower(field.Name) // as the decoder does
			}
			if name != "-" {
				list = append(list, name)
			}
		}
	}
	return list
}

// located adds file and line to what the server says is wrong with the document.
func (c *configuration) located(err error) error {
	found, ok := errors.AsType[*remoteError](err)
	if !ok {
		return err
	}
	var errs []error
	for _, at := range found.problem.Errors {
		here, ok := c.find(at.Pointer)
		if !ok {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %s%s", here, subject(at.Pointer, here), at.Detail))
	}
	if len(errs) == 0 {
		return err
	}
	return errors.Join(errs...)
}

// subject names the member at fault, and its value if that is short: many a line holds several.
func subject(pointer string, at place) string {
	name := pointer[strings.LastIndex(pointer, "/")+1:]
	if _, err := strconv.Atoi(name); err == nil {
		name = ""
	}
	if at.node.Kind == yaml.ScalarNode && at.node.Value != "" && len(at.node.Value) <= 80 {
		name = strings.TrimSpace(name + " " + strconv.Quote(at.node.Value))
	}
	if name == "" {
		return ""
	}
	return name + ": "
}
