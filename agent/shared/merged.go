// Package shared keeps the files that a manager pushes to its agents: it takes the merged file apart, and stores
// it and its parts in one directory and nowhere else (docs/protocol.md, "Control messages").
package shared

import (
	"path/filepath"
	"strings"

	"ossecd/proto"
)

// split takes a merged file apart. refused are the names which Allowed does not hold for, or which come a second time; stock agents store
// such a part under another name.
func split(merged []byte) (parts []proto.Part, refused []string, err error) {
	all, err := proto.SplitMerged(merged)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, p := range all {
		key := strings.ToLower(p.Name) // some file systems take both for one
		if !Allowed(p.Name) || key == proto.MergedName || seen[key] {
			refused = append(refused, p.Name)
		} else {
			seen[key] = true
			parts = append(parts, p)
		}
	}
	return parts, refused, nil
}

// maxName leaves room for what a name gets while the file is written; most systems have 255 bytes for all.
const maxName = 200

// Allowed says whether a file of this name is stored: a base name that no system takes for a path, a device or
// another name.
func Allowed(name string) bool {
	return len(name) <= maxName && proto.BaseName(name) && filepath.IsLocal(name) && !strings.HasSuffix(name, ".") &&
		!strings.HasSuffix(name, " ") && !deviceName(name)
}

// deviceName says whether Windows takes the name for a device, whatever its extension.
func deviceName(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base = strings.TrimSpace(base); base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}
