package imported

// Canonical returns what the parser makes of a hash, written again.
func Canonical(phc string) (string, error) {
	h, err := parse(phc)
	if err != nil {
		return "", err
	}
	return h.text(), nil
}
