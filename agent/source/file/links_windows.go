package file

import (
	"errors"
	"os"
)

var errLink = errors.New("a symbolic link to a file of another owner")

// checkLinks passes every link: to make one takes a privilege that only administrators have by default.
func checkLinks(string, *os.File) error { return nil }
