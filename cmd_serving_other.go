//go:build !linux

package main

// forgetProgram is nothing that this system can be asked for.
func forgetProgram() {}
