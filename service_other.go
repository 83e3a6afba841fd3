//go:build !windows

package main

// asService is for Windows.
func asService() (code int, is bool) { return 0, false }
