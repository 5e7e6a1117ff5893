package cli_test

import (
	"testing"

	"github.com/countersign/countersign/admin/wire"
)

// Editors can have the schema from the program: it takes neither server nor profile.
func TestApplyPrintsItsSchema(t *testing.T) {
	if got := run(t, call{args: []string{"apply", "--schema"}}); got.code != 0 || got.out != wire.Schema() {
		t.Errorf("%+v", got)
	}
}
