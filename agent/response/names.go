package response

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/marked"
)

const maxNames = 256 << 10 // bytes of the file

// named looks a command's name up in the ar.conf that stock managers push: lines of "NAME - PROGRAM - SECONDS". There may be
// several of one name, for several systems; the first whose program is allowed counts. What the file says gives no permission.
func named(path, name string, allow []string) (program string, timeout time.Duration, ok bool) {
	text, err := durable.ReadIn(filepath.Dir(path), filepath.Base(path), maxNames)
	if err != nil {
		return "", 0, false // then the name itself has to do
	}
	for line := range strings.Lines(string(marked.Text(text))) {
		fields := strings.Split(strings.TrimSpace(line), " - ")
		if len(fields) != 3 || fields[0] != name || !slices.Contains(allow, fields[1]) {
			continue
		}
		if seconds, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
			return fields[1], time.Duration(seconds) * time.Second, true
		}
	}
	return "", 0, false
}
