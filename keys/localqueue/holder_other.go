//go:build !linux

package localqueue

const unknown = "another process"

// holder has no way to know.
func holder(string) (name string, ours bool) { return unknown, false }
