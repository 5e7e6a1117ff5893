// Package auth is the domain of Countersign: clients, their secrets, the APIs they call, the grants that say who may call
// whom, the tokens that come of it, and the rules that join them. It does no I/O: storage, network and clock reach it
// through interfaces that it declares.
package auth
