//go:build unix

package durable

import "os"

// rename is os.Rename, whoever has the files open.
func rename(from, to string) error { return os.Rename(from, to) }
