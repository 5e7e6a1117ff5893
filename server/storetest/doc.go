// Package storetest holds the suites that every store must pass, whatever it keeps its data in.
package storetest
