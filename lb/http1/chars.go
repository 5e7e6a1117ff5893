package http1

// The characters of names (RFC 9110 §5.6.2), a bit for each of the first 64 and of the next.
const (
	lowTokens  = 0x03ff<<'0' | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	highTokens = 0x03ffffff<<('A'-64) | 0x03ffffff<<('a'-64) | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
)

func isToken(c byte) bool {
	const half, all = 64, 128
	return c < half && lowTokens>>c&1 != 0 || c >= half && c < all && uint64(highTokens)>>(c-half)&1 != 0
}

func isName(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

// isValue allows what does not end a line or a text: all but control characters, and tabs (RFC 9110 §5.5).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Upper and lower case are the same; lower has letters and hyphens only.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
