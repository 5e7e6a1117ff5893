// Package revocation follows an issuer's revocation feed (docs/revocation-feed.md): it keeps in memory which tokens were taken back,
// and knows until when that may be vouched for.
//
// A [Follower] polls the feed and holds a stream of it. Both bring entries, but only a poll proves how recent they are: it alone
// renews the lease. A stream that breaks, lags or cannot be had costs time and nothing else.
package revocation
