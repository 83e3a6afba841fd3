package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"ossecd/agent/source"
)

// Run runs sources until ctx ends; outputs gives each of them, by its place, where to put its events. A source that fails is logged, and
// the others go on; once all have failed, or with the first of them where untilOne is set or its error is a [source.Fatal], Run ends the
// others and returns the errors.
func Run(ctx context.Context, list []source.Source, outputs []source.Output, untilOne bool, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var failed []error
	ends := untilOne
	var running sync.WaitGroup
	for i, src := range list {
		running.Go(func() {
			defer outputs[i].Idle()
			err := src.Run(ctx, outputs[i])
			if err == nil || ctx.Err() != nil || errors.Is(err, context.Canceled) {
				return // Emit says Canceled as soon as nobody takes events, a moment before ctx ends
			}
			all := untilOne || errors.As(err, new(source.Fatal))
			remedy := "correct what the error names, and restart the agent; other sources go on"
			if all {
				remedy = "correct what the error names, and restart the agent"
			}
			log.Error("a source ended", "err", err, "remedy", remedy)
			mu.Lock()
			failed = append(failed, err)
			ends = ends || all
			mu.Unlock()
			if all {
				cancel()
			}
		})
	}
	logFiles(list, log)
	running.Wait()
	if ends || len(failed) == len(list) {
		return errors.Join(failed...)
	}
	return nil
}

// logFiles logs how many files there are to follow, and names the patterns that match none yet.
func logFiles(sources []source.Source, log *slog.Logger) {
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
