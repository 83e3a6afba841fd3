package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/BurntSushi/toml"

	"ossecd/agent/source"
	"ossecd/keys/durable"
	"ossecd/keys/marked"
	"ossecd/keys/setting"
)

// Pushed runs the sources of a file that the manager pushes, where the host's own configuration allows it. A file with a fault
// changes nothing: what was accepted last goes on, over restarts, too.
//
//	SHARED/ossecd.toml           as pushed
//	STATE/pushed/accepted.toml   the last one without a fault
//	STATE/pushed/sources/        positions, apart from those of the host's own sources
type Pushed struct {
	cfg      Config // with a state directory of its own
	file     string
	commands bool // may be in it, too
	output   func(src string) source.Output
	log      *slog.Logger
	again    chan struct{} // the shared files changed; has room for one
}

const (
	pushedName = "ossecd.toml"
	maxPushed  = 256 << 10 // bytes
	maxTables  = 256
)

// NewPushed runs what the manager pushes into the directory shared. cfg says what its sources have in common with the host's own, and
// output makes the output of a source.
func NewPushed(cfg Config, shared string, commands bool, output func(src string) source.Output, log *slog.Logger) (*Pushed, error) {
	p := &Pushed{
		cfg:  Config{State: filepath.Join(cfg.State, "pushed"), MaxEvent: cfg.MaxEvent, Finish: cfg.Finish},
		file: filepath.Join(shared, pushedName), commands: commands, output: output, log: log.With("from", pushedName), again: make(chan struct{}, 1),
	}
	return p, p.cfg.Prepare()
}

// Changed says that the shared files may have. It never waits.
func (p *Pushed) Changed() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// Run runs the sources until ctx ends.
func (p *Pushed) Run(ctx context.Context) {
	accepted := filepath.Join(p.cfg.State, "accepted.toml")
	list, text, err := p.load(p.file)
	if err != nil {
		p.refuse(err)
		if list, text, err = p.load(accepted); err != nil {
			p.refuse(err)
		}
	}
	for {
		if err := durable.ReplaceFile(accepted, text, 0o600); err != nil {
			p.log.Warn("accepted sources are not saved", "err", err)
		}
		stop := p.start(ctx, list)
		list, text = p.next(ctx, text)
		stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// next waits for a file that is another than the present one and has no fault, or for the end of ctx.
func (p *Pushed) next(ctx context.Context, text []byte) ([]source.Source, []byte) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-p.again:
		}
		switch list, next, err := p.load(p.file); {
		case err != nil:
			p.refuse(err)
		case !bytes.Equal(next, text):
			return list, next
		}
	}
}

func (p *Pushed) refuse(err error) {
	p.log.Error("the sources that the manager pushed are refused; the ones before stay in use", "err", err, "remedy", "correct the file on the manager")
}

// start starts sources; what it returns ends them and waits.
func (p *Pushed) start(ctx context.Context, list []source.Source) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, src := range list {
		out := p.output(Name(src))
		running.Go(func() {
			if err := src.Run(ctx, out); err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				p.log.Error("a source ended", "err", err, "remedy", "correct what the error names; other sources go on")
			}
		})
	}
	if len(list) > 0 {
		p.log.Info("sources of the manager", "count", len(list))
		running.Go(func() { logFiles(list, p.log) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// load makes the sources of a file; there are none in one that is missing.
func (p *Pushed) load(path string) (list []source.Source, text []byte, err error) {
	text, err = durable.ReadIn(filepath.Dir(path), filepath.Base(path), maxPushed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	cfg := p.cfg
	if cfg.Tables, err = pushedTables(string(text), p.commands); err != nil {
		return nil, nil, err
	}
	for _, w := range cfg.OldNames() {
		p.log.Warn("the configuration has an old name", "where", w)
	}
	list, err = cfg.tables(p.log)
	return list, text, err
}

// pushedTables are the tables [[agent.source]] of a pushed file. It may have nothing else, and only types that open
// no door of the host: no listener, no socket, and no command unless that is allowed.
func pushedTables(text string, commands bool) (tables []*setting.Table, err error) {
	var file struct {
		Agent struct {
			Source []map[string]any `toml:"source"`
		} `toml:"agent"`
	}
	text = string(marked.Text([]byte(text)))
	if err := checkNested(text); err != nil {
		return nil, fmt.Errorf("%s: %w", pushedName, err)
	}
	meta, err := toml.Decode(text, &file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pushedName, err)
	}
	for _, key := range meta.Keys() {
		if name := key.String(); len(key) < 3 && name != "agent" && name != "agent.source" {
			return nil, fmt.Errorf("%s: %.80q; it may have tables [[agent.source]] and nothing else", pushedName, name)
		}
	}
	if len(file.Agent.Source) > maxTables {
		return nil, fmt.Errorf("%s: %d sources; up to %d are taken", pushedName, len(file.Agent.Source), maxTables)
	}
	types := []string{"file", "journald", "eventlog"}
	if commands {
		types = append(types, "command", source.FullCommand)
	}
	for i, content := range file.Agent.Source {
		kind, _ := content["type"].(string)
		if !slices.Contains(types, source.TypeNow(kind)) {
			return nil, fmt.Errorf("source[%d]: type: %.40q is not taken from a manager; use one of %q, or write it into the host's own file", i+1, kind, types)
		}
		tables = append(tables, setting.NewTable(fmt.Sprintf("source[%d]", i+1), content))
	}
	return tables, nil
}
