package revocation

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
)

// cursor is how far a reader of the feed has come. Its zero value is nowhere.
type cursor struct {
	generation string // decimal text; not a number, since it is only ever compared
	sequence   uint64
}

// String returns the cursor as the feed takes it; "" for nowhere.
func (c cursor) String() string {
	if c == (cursor{}) {
		return ""
	}
	return c.generation + "." + strconv.FormatUint(c.sequence, 10)
}

func parseCursor(text string) (cursor, error) {
	generation, sequence, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil || !isGeneration(generation) {
		return cursor{}, errors.New("malformed cursor")
	}
	return cursor{generation, n}, nil
}

// covers tells whether who has come to c has all that one at other has.
func (c cursor) covers(other cursor) bool {
	return c.generation == other.generation && c.generation != "" && c.sequence >= other.sequence
}

// state is what is known of the feed. One goroutine at a time may change it, while any number ask current.
type state struct {
	at      cursor // every entry up to there is in current, but for those that are needed no more
	current atomic.Pointer[set]
}

// errGap: entries between the state and an answer might be missing. errSequence: the answer contradicts itself or its question.
var (
	errGap      = errors.New("the answer does not join what is known")
	errSequence = errors.New("the answer is out of sequence")
)

// merge takes in an answer to the question what came after the cursor from. It tells whether the answer refuses anything that was
// not refused before. If it returns an error, nothing was changed.
func (s *state) merge(a *answer, from cursor) (news bool, err error) {
	if !a.snapshot {
		switch {
		case !s.at.covers(from):
			return false, errGap
		case !a.at.covers(from):
			return false, errSequence
		}
	}
	if !a.snapshot || s.at.generation == a.at.generation && a.at.sequence < s.at.sequence {
		// A snapshot from behind lacks what the state has from elsewhere, so it is only added.
		news = s.current.Load().add(a.entries)
		s.at.sequence = max(s.at.sequence, a.at.sequence)
		return news, nil
	}
	news = s.at.generation != a.at.generation || !s.current.Load().covers(a.entries)
	s.current.Store(newSet(a.entries))
	s.at = a.at
	return news, nil
}
