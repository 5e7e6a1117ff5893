// Package proof makes and checks what a client shows beside or in place of a secret: client assertions, DPoP proofs, certificates.
package proof
