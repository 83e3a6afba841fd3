package localqueue

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const unknown = "another process"

// holder names the process that has the socket open, as far as this user may know. We can have one of that name ourselves, which lost it.
func holder(path string) (name string, ours bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return unknown, false
	}
	inodes := inodesOf(abs)
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || !inodes[target] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		command, _ := os.ReadFile("/proc/" + pid + "/comm")
		name = fmt.Sprintf("process %s (%.32q)", pid, strings.TrimSpace(string(command)))
		if ours = pid == strconv.Itoa(os.Getpid()); !ours {
			return name, false
		}
	}
	if name == "" {
		return unknown, false
	}
	return name, ours
}

// inodesOf finds bound sockets in the system's table, "Num RefCount Protocol Flags Type St Inode Path", as links to open files name them.
func inodesOf(path string) map[string]bool {
	all := make(map[string]bool)
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return all
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		if bound := strings.Join(fields[7:], " "); bound == path || filepath.Base(bound) == filepath.Base(path) && samePath(bound, path) {
			all["socket:["+fields[6]+"]"] = true
		}
	}
	return all
}

// samePath says that both names lead to one file.
func samePath(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}
