package auth

import "time"

// SecretUse tells when a secret authenticated its client, to the minute.
type SecretUse struct {
	Secret SecretID
	First  time.Time
	Last   time.Time
	Source string // network address of the last use
}

// ClientSecretUse is a SecretUse with the client of the secret.
type ClientSecretUse struct {
	Client ClientID
	SecretUse
}

// GrantUse tells what was issued under a grant, in all since it is counted.
type GrantUse struct {
	Client ClientID
	API    APIID
	Scope  string // one scope; empty: the grant as a whole
	Last   time.Time
	Tokens int64 // issued
}
