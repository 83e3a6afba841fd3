package agent

import (
	"log/slog"

	"ossecd/agent/source"
)

// sayStarted logs what runs and which managers it calls.
func (c *Config) sayStarted(sources []source.Source, log *slog.Logger) {
	mode := "first"
	if c.AllManagers {
		mode = "all"
	}
	log.Info("started", "version", c.Version, "managers", c.Managers, "mode", mode, "sources", len(sources))
}

// sayFiles logs how many files there are to follow, and names the patterns that match none yet.
func sayFiles(sources []source.Source, log *slog.Logger) {
	files, asked := 0, false
	var none []string
	for _, s := range sources {
		if f, ok := s.(interface{ Found() (int, []string) }); ok {
			n, missing := f.Found()
			files, none, asked = files+n, append(none, missing...), true
		}
	}
	if asked {
		log.Info("following files", "files", files)
	}
	if len(none) > 0 {
		log.Warn("no file matches yet", "patterns", none,
			"remedy", "correct the path if you expected a file there; files that appear later are followed")
	}
}
