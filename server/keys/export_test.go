package keys

// AppendFixed is what makes a JWS signature of one of the standard library.
func AppendFixed(dst, der []byte) ([]byte, error) { return appendFixed(dst, der) }
