package auth

import "crypto/sha256"

// Place is where a page ended: the sort key of its last item and its ids. The page after it holds what sorts behind, whatever was
// added or removed meanwhile.
type Place struct {
	Key    string   // what the items are sorted by before their id; empty when it is the id alone
	ID     [16]byte // of a client, API or, of a grant, its client
	Second [16]byte // of a grant, its API
}

// Order is what a list is sorted by. Ids break ties.
type Order string

// The orders.
const (
	ByCreation Order = "created" // by id, which begins with the time of creation
	ByName     Order = "name"
)

// ClientQuery selects clients. Zero fields select everything, ordered by creation.
type ClientQuery struct {
	Status     Status
	Owner      string
	NamePrefix string
	Label      string // name of a label
	LabelValue string // its value; only with Label
	Order      Order
	Descending bool
	After      *Place
	Limit      int // at least 1
}

// APIQuery selects APIs. Zero fields select everything, ordered by creation.
type APIQuery struct {
	Identifier string
	NamePrefix string
	Server     ClientID // that serves them
	Order      Order
	Descending bool
	After      *Place
	Limit      int
}

// GrantQuery selects grants, in order of client and API.
type GrantQuery struct {
	Client     ClientID
	API        APIID // with it alone, in order of client
	Descending bool
	After      *Place
	Limit      int
}

// Replay is the answer to a call that may be sent again under the same Idempotency-Key.
type Replay struct {
	Key     [sha256.Size]byte // hash of who called, what, and the Idempotency-Key
	Request [sha256.Size]byte // hash of what was asked
	Answer  []byte            // JSON, without any secret
	Sealed  []byte            // the secret part, under a key that only the Idempotency-Key makes; nil once its time is over
	At      int64             // microseconds since 1970
}
