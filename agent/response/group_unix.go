//go:build unix

package response

import (
	"io/fs"
	"os/exec"
	"syscall"
)

func supported() error { return nil }

// ownGroup gives the program a process group of its own, which is killed as a whole.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// trusted says that what a user runs belongs to that user or to the superuser.
func trusted(info fs.FileInfo, uid int) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == uid)
}
