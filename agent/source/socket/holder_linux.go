package socket

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder names the process that has the socket open, as far as this user may know.
func holder(path string) string {
	abs, err := filepath.Abs(path)
	inode := inodeOf(abs)
	if err != nil || inode == "" {
		return "another process"
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("process %s (%.32q)", pid, strings.TrimSpace(string(name)))
		}
	}
	return "another process"
}

// inodeOf finds a bound socket in the system's table: "Num RefCount Protocol Flags Type St Inode Path".
func inodeOf(path string) string {
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		if bound := strings.Join(fields[7:], " "); bound == path || filepath.Base(bound) == filepath.Base(path) && samePath(bound, path) {
			return fields[6]
		}
	}
	return ""
}

// samePath says that both names lead to one file.
func samePath(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}
