package durable

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// keepOwner does nothing: owners are kept by access lists.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// secretAccess lets in the system, administrators and the owner, and nobody by inheritance.
const secretAccess = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)"

// keepAccess gives a new file the access list of the file at like or, where there is none and it holds a secret, one for few. Otherwise it
// has inherited the one of its directory.
func keepAccess(made *os.File, like string, secret bool) error {
	var list *windows.SECURITY_DESCRIPTOR
	var err error
	switch {
	case like != "":
		list, err = windows.GetNamedSecurityInfo(like, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	case secret:
		list, err = windows.SecurityDescriptorFromString(secretAccess)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	dacl, _, err := list.DACL()
	if err != nil {
		return err
	}
	control, _, err := list.Control()
	if err != nil {
		return err
	}
	as := windows.SECURITY_INFORMATION(windows.DACL_SECURITY_INFORMATION)
	if control&windows.SE_DACL_PROTECTED != 0 {
		as |= windows.PROTECTED_DACL_SECURITY_INFORMATION
	}
	return windows.SetNamedSecurityInfo(made.Name(), windows.SE_FILE_OBJECT, as, nil, nil, dacl, nil)
}

// SyncDir does nothing: Windows has no call for it, and renames are journaled.
func SyncDir(string) error { return nil }

// Give does nothing: what is made in a directory inherits its access list there.
func Give(dir, made string) error { return nil }

// OpenToGroup does nothing, for the same reason.
func OpenToGroup(string) error { return nil }

// OwnAs does nothing, for the same reason.
func OwnAs(string, *os.File) error { return nil }
