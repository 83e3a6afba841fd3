//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
)

// errMoved is the error for a path that led elsewhere while it was opened.
var errMoved = errors.New("it was replaced while it was opened")

// maxLinks is how many links may be on the way to a file, as in Linux.
const maxLinks = 40

// mayFollow says whether a link on the way to a file may be followed, also one that another link leads to: it must belong to the superuser, to
// us, or to the owner of the file. Without that whoever may write in a followed directory, or where a link of the administrator
// leads to, could have an agent that runs as root send files that he cannot read himself.
func mayFollow(link string, maker, owner uint32) error {
	if maker == 0 || maker == owner || maker == uint32(os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("%s: %w: the link is of user %d, the file of user %d", link, errLink, maker, owner)
}
