//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errLink is the error for a link that somebody made who does not own what it leads to.
var errLink = errors.New("a symbolic link to a file of another owner")

// checkLinks says whether f, opened by this path, may be read as far as links go: each link on the way must belong to the
// superuser, to us, or to the owner of the file. Without that whoever may write in a followed directory could have an agent
// that runs as root send files that he cannot read himself. A path that leads elsewhere by now is refused, too: a link may have
// been swapped while we looked.
func checkLinks(path string, f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	owner := uidOf(opened)
	for at := absolute(path); ; at = filepath.Dir(at) {
		fi, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if uid := uidOf(fi); fi.Mode()&os.ModeSymlink != 0 && uid != 0 && uid != owner && uid != uint32(os.Geteuid()) {
			return fmt.Errorf("%s: %w: the link is of user %d, the file of user %d", at, errLink, uid, owner)
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(now, opened) {
		return fmt.Errorf("%s: %w", path, errors.Join(errMoved, err))
	}
	return nil
}

// errMoved is the error for a path that led elsewhere while it was opened.
var errMoved = errors.New("it was replaced while it was opened")

func uidOf(fi os.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}
