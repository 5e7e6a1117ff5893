package auth

import "strings"

const (
	spiffeScheme   = "spiffe://"
	maxSPIFFEID    = 2048 // bytes
	maxTrustDomain = 255
)

// TrustDomain returns the trust domain of a SPIFFE ID as spiffe://NAME, and false if it is none of a workload (SPIFFE-ID §2). An ID has
// one spelling: nothing is decoded or folded.
func TrustDomain(id string) (string, bool) {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	domain, path, found := strings.Cut(rest, "/")
	if !ok || !found || len(id) > maxSPIFFEID || domain == "" || len(domain) > maxTrustDomain || strings.IndexFunc(domain, notInDomain) >= 0 {
		return "", false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.IndexFunc(segment, notInPath) >= 0 {
			return "", false
		}
	}
	return spiffeScheme + domain, true
}

func notInPath(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
		return false
	}
	return true
}

func notInDomain(r rune) bool { return notInPath(r) || 'A' <= r && r <= 'Z' }
