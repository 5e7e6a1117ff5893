package usage

// Entries returns how much is kept in memory: secrets, grants with scopes, clients that failed, and failures that wait.
func (c *Collector) Entries() (secrets, grants, suspects, queue int) {
	c.secrets.all.Range(func(any, any) bool { secrets++; return true })
	c.grants.all.Range(func(any, any) bool { grants++; return true })
	c.failures.mu.Lock()
	defer c.failures.mu.Unlock()
	return secrets, grants, len(c.failures.suspects), len(c.failures.queue)
}
