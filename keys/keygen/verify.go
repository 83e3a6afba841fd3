package keygen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
)

// finding is what is wrong with a keys file, as JSON.
type finding struct {
	Line  int    `json:"line,omitempty"` // 0: of the file as a whole
	ID    string `json:"id,omitempty"`
	Fault string `json:"fault"`
}

// minSecret is the length below which a key is called weak: 128 bits in hexadecimal digits.
const minSecret = 32

func verify(c *call) error {
	set, faults, err := keys.Load(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name the file with --keys", err)
	}
	if err != nil {
		return err
	}
	found := []finding{}
	if info, err := os.Stat(c.path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		found = append(found, finding{Fault: fmt.Sprintf("every user of this machine has access to it (mode %04o); run: chmod o-rwx %s", info.Mode().Perm(), c.path)})
	}
	if _, err := keys.LoadNotes(c.path); err != nil {
		found = append(found, finding{Fault: err.Error()})
	}
	for _, f := range faults {
		found = append(found, finding{f.Line, f.ID, f.Err.Error()})
	}
	names, secrets := make(map[string]string), make(map[string]string)
	for i, k := range set.Keys {
		note := func(format string, args ...any) {
			found = append(found, finding{set.Line(i), k.ID, fmt.Sprintf(format, args...)})
		}
		if first, has := names[k.Name]; has {
			note("the name %s is that of agent %s, too: nobody can tell their events apart; rename one (ossecd keygen rename)", k.Name, first)
		} else {
			names[k.Name] = k.ID
		}
		if first, has := secrets[k.Secret]; has {
			note("the key is that of agent %s, too: each of the two can read and forge what the other sends; give one another (ossecd keygen rotate %s)", first, k.ID)
		} else {
			secrets[k.Secret] = k.ID
		}
		if len(k.Secret) < minSecret {
			note("the key has %d characters, and may be guessed; give the agent another (ossecd keygen rotate %s)", len(k.Secret), k.ID)
		}
	}
	var text strings.Builder
	for i, f := range found {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(c.path)
		if f.Line > 0 {
			fmt.Fprintf(&text, ":%d", f.Line)
		}
		text.WriteString(": " + f.Fault)
	}
	if len(found) == 0 {
		fmt.Fprintf(&text, "%s is in order: %d agents, %d removed", c.path, len(set.Keys), len(set.Removed))
	}
	if err := c.print(found, text.String()); err != nil || len(found) == 0 {
		return err
	}
	return cli.Exit(fmt.Sprintf("%d faults", len(found)), 1)
}
