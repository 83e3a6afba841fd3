package durable

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: a file made in a directory inherits its access list there.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// SyncDir does nothing: Windows has no call for it, and renames are journaled.
func SyncDir(string) error { return nil }

// Give does nothing: what is made in a directory inherits its access list there.
func Give(dir, made string) error { return nil }

// OpenToGroup does nothing, for the same reason.
func OpenToGroup(string) error { return nil }

// OwnAs does nothing, for the same reason.
func OwnAs(string, *os.File) error { return nil }
