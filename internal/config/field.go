package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one setting: a field of a command's settings and what its tags say.
type field struct {
	name     string
	short    string // one letter, or empty
	help     string
	fallback string
	secret   bool
	allowed  []string // if not empty, the only values besides the fallback
	value    reflect.Value
}

func fields(settings any) []field { return fieldsOf(reflect.ValueOf(settings).Elem()) }

func fieldsOf(structure reflect.Value) (list []field) {
	for i := range structure.NumField() {
		if structure.Type().Field(i).Anonymous {
			list = append(list, fieldsOf(structure.Field(i))...)
			continue
		}
		tag := structure.Type().Field(i).Tag
		name := tag.Get("name")
		if name == "" {
			continue
		}
		f := field{
			name: name, short: tag.Get("short"), help: tag.Get("help"), fallback: tag.Get("default"), secret: tag.Get("secret") == "true",
			value: structure.Field(i),
		}
		if one := tag.Get("oneof"); one != "" {
			f.allowed = strings.Split(one, "|")
		}
		list = append(list, f)
	}
	return list
}

func (f field) key() string { return strings.ReplaceAll(f.name, "-", "_") }

func (f field) env() string { return EnvPrefix + strings.ToUpper(f.key()) }

// usage names what else the setting is called: in the environment, and in the settings file if there is one.
func (f field) usage(file bool) string {
	text := f.help + "\n" + f.env()
	if file {
		text += ", " + f.key()
	}
	return text
}

func (f field) noOption() string {
	if f.value.Kind() == reflect.Bool {
		return "true"
	}
	return ""
}

// set judges the raw value and puts it into the settings.
func (f field) set(raw any) error {
	if list, ok := raw.([]any); ok && f.value.Kind() == reflect.Slice {
		texts := make([]string, len(list))
		for i, item := range list {
			texts[i] = fmt.Sprint(item)
		}
		f.value.Set(reflect.ValueOf(texts))
		return nil
	}
	text := fmt.Sprint(raw)
	if raw == nil {
		text = ""
	}
	if len(f.allowed) > 0 && text != f.fallback && !slices.Contains(f.allowed, text) {
		return f.wrong(text, strings.Join(slices.DeleteFunc(slices.Clone(f.allowed), func(one string) bool { return one == "" }), ", "))
	}
	switch target := f.value.Addr().Interface().(type) {
	case *string:
		*target = text
	case *[]string:
		*target = splitList(text)
	case *bool:
		parsed, err := strconv.ParseBool(text)
		if err != nil {
			return f.wrong(text, "true, false")
		}
		*target = parsed
	case *int:
		parsed, err := strconv.Atoi(text)
		if err != nil {
			return f.wrong(text, "a whole number")
		}
		*target = parsed
	case *time.Duration:
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed < 0 {
			return f.wrong(text, "a duration such as 250ms, 30s or 24h, not below 0")
		}
		*target = parsed
	default:
		panic(fmt.Sprintf("setting %s has a type that no flag can have: %T", f.name, target))
	}
	return nil
}

func (f field) wrong(text, allowed string) error {
	if f.secret {
		text = "[redacted]"
	}
	return fmt.Errorf("setting %s (--%s, %s) is %q: allowed is %s", f.key(), f.name, f.env(), text, allowed)
}

func splitList(text string) (list []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
