package agent

import (
	"errors"
	"io/fs"
	"os"
	"ossecd/agent/source"
	"path/filepath"
	"strings"
)

// A stock syscheckd that feeds our local queue looks, now and then, for a file that says that it shall begin anew; a stock agent
// makes it when the manager orders that (docs/protocol.md, "Local interfaces").
const syscheckMark = ".syscheck_run"

// checkNow hands the order for an integrity check to the install whose collectors feed us, if there is one.
func (s *session) checkNow() {
	handed := false
	for _, root := range s.cfg.stockRoots() {
		err := markSyscheck(filepath.Join(root, "var", "run"))
		switch {
		case err == nil:
			handed = true
			s.log.Info("an integrity check was ordered, and handed to syscheckd", "install", root)
		case !errors.Is(err, fs.ErrNotExist):
			handed = true
			s.limited.Warn("an integrity check was ordered, and cannot be handed to syscheckd", "err", err, "remedy", "let this user write there")
		}
	}
	if !handed {
		s.limited.Warn("an integrity check was ordered", "remedy", "none needed: no syscheckd feeds this agent by a source of type ossec-queue; nothing was checked")
	}
}

// stockRoots are the directories of the stock installs whose local queue is one of our sources.
func (c *Config) stockRoots() (roots []string) {
	if c.OssecHome != "" {
		roots = append(roots, c.OssecHome)
	}
	for _, stands := range c.Tables {
		t := source.NewTable(stands)
		if t.Type() != source.OssecQueue {
			continue
		}
		path := filepath.ToSlash(t.Text("path"))
		for _, place := range []string{"/queue/ossec/queue", "/queue/sockets/queue"} {
			if root, ok := strings.CutSuffix(path, place); ok {
				roots = append(roots, filepath.FromSlash(root))
			}
		}
	}
	return roots
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
