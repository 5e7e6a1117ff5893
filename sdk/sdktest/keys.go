package sdktest

// current returns the key that signs with this algorithm, and makes and publishes one if there is none yet.
func (i *Issuer) current(a Algorithm) *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	k := i.signing[a]
	if k == nil {
		k = NewKey(a, "")
		i.signing[a] = k
		i.keys = append(i.keys, k)
	}
	return k
}

// Key returns the key that signs JWTs now.
func (i *Issuer) Key() *Key { return i.current(i.config.algorithm) }

// RotateKeys makes a new key, publishes it, signs with it from now on, and returns it. The old ones stay published.
func (i *Issuer) RotateKeys() *Key {
	k := NewKey(i.config.algorithm, "")
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing[k.algorithm] = k
	i.keys = append(i.keys, k)
	return k
}

// PublishKey adds the key to the key set. Nothing is signed with it unless [Claims] say so.
func (i *Issuer) PublishKey(k *Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
}

// WithdrawKey takes the keys of this id out of the key set. If the one that signs is among them, it goes on signing.
func (i *Issuer) WithdrawKey(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var kept []*Key
	for _, k := range i.keys {
		if k.id != id {
			kept = append(kept, k)
		}
	}
	i.keys = kept
}
