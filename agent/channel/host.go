package channel

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"ossecd/proto"
)

// host is the uname of a keepalive: in OSSEC's form with blanks, in Wazuh's with " |" between the fields and the
// system's name behind.
func host(dialect proto.Dialect) string {
	fields := uname()
	if dialect != proto.Wazuh {
		return strings.Join(fields[:], " ")
	}
	return strings.Join(fields[:], " |") + osName()
}

// osName is " [NAME|platform: VERSION (codename)]" as far as /etc/os-release tells, or nothing.
func osName() string {
	f, err := os.Open("/etc/os-release")
	if err != nil || runtime.GOOS == "windows" {
		return ""
	}
	defer f.Close()
	is := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan() && len(is) < 64; {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			is[key] = strings.Trim(value, `"'`)
		}
	}
	if is["NAME"] == "" || is["ID"] == "" {
		return ""
	}
	name := is["NAME"] + "|" + is["ID"] + ": " + is["VERSION_ID"]
	if is["VERSION_CODENAME"] != "" {
		name += " (" + is["VERSION_CODENAME"] + ")"
	}
	return " [" + name[:min(len(name), 128)] + "]"
}
