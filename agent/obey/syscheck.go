package obey

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A stock syscheckd that feeds our local queue looks, now and then, for a file that says that it shall begin anew; a stock agent
// makes it when the manager orders that (docs/protocol.md, "Control messages").
const syscheckMark = ".syscheck_run"

// syscheck obeys orders for integrity checks.
type syscheck struct {
	env
	installs []string
	budget   *budget
}

// obey hands the order for an integrity check to the installs whose collectors feed us.
func (s *syscheck) obey() {
	if !s.budget.allows(s.limited) {
		return
	}
	handed := false
	for _, root := range s.installs {
		err := markSyscheck(filepath.Join(root, "var", "run"))
		switch {
		case err == nil:
			handed = true
			s.log.Info("an integrity check was ordered, and handed to syscheckd", "install", root)
		case !errors.Is(err, fs.ErrNotExist):
			handed = true
			s.limited.Warn("an integrity check cannot be handed to syscheckd", "err", err, "remedy", "let this user write to the directory")
		}
	}
	if !handed {
		s.limited.Warn("an integrity check was ordered", "remedy", "none needed: no syscheckd feeds this agent by a source of type socket; nothing was checked")
	}
}

// markSyscheck makes the file. No link leads it out of the directory.
func markSyscheck(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.WriteFile(syscheckMark, []byte("/var/run/"+syscheckMark+"\n"), 0o640)
}
