// Package sdktest is an OAuth 2.0 authorization server for tests, with real signatures and switches for everything that can go wrong.
package sdktest
