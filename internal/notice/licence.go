package notice

import (
	"regexp"
	"strings"
)

// marks tell a licence by phrases that all of its copies have, in lower case with single spaces. The first that fits counts.
func marks() []struct {
	id   string
	says []string
} {
	return []struct {
		id   string
		says []string
	}{
		{"Apache-2.0", []string{"apache license", "version 2.0", "grant of copyright license", "grant of patent license"}},
		{"MPL-2.0", []string{"mozilla public license", "covered software", "secondary licenses"}},
		{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "this list of conditions", "neither the name"}},
		{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "this list of conditions", "be used to endorse or promote"}},
		{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "this list of conditions"}},
		{"ISC", []string{"permission to use, copy, modify, and", "distribute this software", "with or without fee", "the above copyright notice and this permission notice appear in all copies"}},
		{"MIT", []string{"permission is hereby granted, free of charge", "the above copyright notice and this permission notice"}},
		{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
		{"CC0-1.0", []string{"cc0 1.0 universal"}},
		{"public domain", []string{"dedicated to the public domain by the authors"}},
	}
}

// reciprocal is the title of a licence that would bind whatever it is linked into.
var reciprocal = regexp.MustCompile(`gnu (affero |lesser |library )?general public license version|server side public license|business source license|european union public licence`)

var spaces = regexp.MustCompile(`\s+`)

// Licence names the licence of a text, by its SPDX identifier where it has one. It is empty for a text that is none of those that may be
// linked into the binary.
func Licence(text string) string {
	plain := spaces.ReplaceAllString(strings.ToLower(text), " ")
	if reciprocal.MatchString(plain) {
		return ""
	}
	for _, mark := range marks() {
		fits := true
		for _, phrase := range mark.says {
			fits = fits && strings.Contains(plain, phrase)
		}
		if fits {
			return mark.id
		}
	}
	return ""
}
