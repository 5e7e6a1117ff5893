package abuse

// Entries returns how much is in memory: accounts, clients that are known somewhere, and notices.
func (g *Guard) Entries() (accounts, known, noticed int) {
	g.known.Sweep(g.config.Counters.Now())
	g.notices.mu.Lock()
	defer g.notices.mu.Unlock()
	return g.shares.Len() + g.clients.Len() + g.failures.Len(), g.known.Len(), len(g.notices.seen)
}

// MaxEntries is the most that Entries may return.
func MaxEntries() (accounts, known, noticed int) {
	return maxShares + maxClients + maxFailures, maxKnown, maxNotices
}
