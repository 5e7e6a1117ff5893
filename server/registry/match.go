package registry

import "github.com/countersign/countersign/internal/fault"

// Match is the precondition of a change: the revision that the resource must have.
type Match int64

// The preconditions that name no revision.
const (
	Any    Match = 0  // whatever is there, or nothing
	Absent Match = -1 // nothing must be there
	Exists Match = -2 // something must be there
)

// check returns fault.PreconditionFailed unless revision is what m asks for. 0 is the revision of what is not there.
func (m Match) check(revision int64) error {
	switch {
	case m == Any, m == Match(revision), m == Absent && revision == 0, m == Exists && revision != 0:
		return nil
	case m == Absent:
		return fault.New(fault.PreconditionFailed, "it exists already").At("If-None-Match")
	case revision == 0:
		return fault.New(fault.PreconditionFailed, "it does not exist").At("If-Match")
	}
	return fault.New(fault.PreconditionFailed, "it was changed meanwhile; read it again").At("If-Match")
}
