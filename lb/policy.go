package lb

// Policy decides which upstream takes a request. Implementations are safe for concurrent use and
// neither keep nor change the slice they are given.
type Policy interface {
	// Pick returns one of from, which is never empty and keeps its order between calls as long as
	// the same upstreams are up. key is what policies that hash go by (TransportConfig.Key); it may
	// be empty.
	Pick(key string, from []*Upstream) *Upstream
}
