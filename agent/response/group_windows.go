package response

import (
	"errors"
	"io/fs"
	"os/exec"
)

// supported: the modes of files, which say who may change them, mean nothing here.
func supported() error {
	return errors.New("enabled: not on Windows, where nothing is known of who may change a program")
}

func ownGroup(*exec.Cmd) {}

func trusted(fs.FileInfo, int) bool { return false }
