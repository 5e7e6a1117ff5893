package notice_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/internal/notice"
)

// TestCurrent: whoever adds or updates a module runs `make licenses`.
func TestCurrent(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	var want bytes.Buffer
	if err := notice.Write(t.Context(), &want, root); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("NOTICE is not of the modules that are linked: run `make licenses`")
	}
}

func TestLicence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"MIT", "Permission is hereby granted, free of\ncharge, to any person … The above copyright notice and this permission notice shall be", "MIT"},
		{"two clauses", "Redistribution and use in source and binary forms … this list of conditions", "BSD-2-Clause"},
		{"three clauses", "Redistribution and use in source and binary forms … this list of conditions … Neither the name of", "BSD-3-Clause"},
		{"reciprocal", "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", ""},
		{"for networks", "GNU AFFERO GENERAL PUBLIC LICENSE\n Version 3", ""},
		{"a choice that holds one", "Permission is hereby granted, free of charge … the above copyright notice and this permission notice … or GNU General Public License version 2", ""},
		{"not open", "Business Source License 1.1", ""},
		{"nothing", "All rights reserved.", ""},
	} {
		if got := notice.Licence(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	own, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	if got := notice.Licence(string(own)); got != "Apache-2.0" {
		t.Errorf("our own licence is %q", got)
	}
}
