package setting

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are the sizes of a unit in bytes; k and Ki are both 1,024.
var units = map[string]int64{
	"B": 1, "KB": 1 << 10, "KIB": 1 << 10, "MB": 1 << 20, "MIB": 1 << 20, "GB": 1 << 30, "GIB": 1 << 30, "TB": 1 << 40, "TIB": 1 << 40,
}

// WantSize says how a size is written.
const WantSize = `a size such as "64 MB" or "1 GB"`

// ParseSize reads a whole number with a unit, in bytes. A number without one is in plain bytes each.
func ParseSize(text string, plain int64) (int64, error) {
	digits := strings.TrimSpace(text)
	unit := strings.TrimLeft(digits, "0123456789")
	digits = digits[:len(digits)-len(unit)]
	factor := plain
	if unit = strings.ToUpper(strings.TrimSpace(unit)); unit != "" {
		factor = units[unit]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || factor == 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%.40q is not a size; use a whole number with B, KB, MB, GB or TB, as in \"64 MB\"", text)
	}
	return n * factor, nil
}

// FormatSize writes a size with the largest unit of which it is a whole number.
func FormatSize(bytes int64) string {
	names := []string{"B", "KB", "MB", "GB", "TB"}
	for len(names) > 1 && bytes != 0 && bytes%1024 == 0 {
		bytes, names = bytes/1024, names[1:]
	}
	return fmt.Sprintf("%d %s", bytes, names[0])
}

// Size is the value of a flag, for cli.GenericFlag.
type Size struct {
	Bytes int64
	Plain int64 // bytes of a number without a unit
}

// MB is a size of so many megabytes, which are the unit of a plain number too.
func MB(n int64) *Size { return &Size{n << 20, 1 << 20} }

// Set is for package flag.
func (s *Size) Set(text string) (err error) {
	s.Bytes, err = ParseSize(text, s.Plain)
	return err
}

func (s *Size) String() string { return FormatSize(s.Bytes) }
