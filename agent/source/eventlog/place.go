package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"ossecd/keys/durable"
)

const (
	maxBookmark  = 4 << 10 // bytes; Windows' have some 200
	maxStateFile = 1 << 20
)

// places are the bookmarks of all channels, and the content of the state file: a JSON object by the channel's name.
type places struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	marks  map[string]string
	dirty  bool
	failed string // how saving failed last
}

// load reads the state file. What cannot be used is logged, and reading begins as if there were none.
func (s *Source) load() *places {
	p := &places{path: s.cfg.State, log: s.cfg.Log, marks: make(map[string]string)}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	marks := make(map[string]string)
	if err == nil && len(text) > maxStateFile {
		err = errors.New("it is too long")
	}
	if err == nil {
		err = json.Unmarshal(text, &marks)
	}
	if err != nil {
		p.log.Error("the positions in the Event Log were lost; reading starts over", "file", p.path, "err", err, "remedy", "check the disk")
		return p
	}
	for name, mark := range marks {
		if len(name) <= maxChannel && len(mark) <= maxBookmark {
			p.marks[name] = mark
		}
	}
	return p
}

// of is the bookmark of a channel, empty where there is none.
func (p *places) of(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks[name]
}

func (p *places) set(name, mark string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks[name] != mark && len(mark) <= maxBookmark {
		p.marks[name], p.dirty = mark, true
	}
}

// save writes the state file, if there is anything new. It is for one goroutine.
func (p *places) save() {
	p.mu.Lock()
	if !p.dirty {
		p.mu.Unlock()
		return
	}
	text, err := json.Marshal(p.marks)
	p.dirty = false
	p.mu.Unlock()
	if err == nil {
		err = durable.ReplaceFile(p.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		p.mu.Lock()
		p.dirty = true
		p.mu.Unlock()
		if err.Error() != p.failed {
			p.log.Error("the positions in the Event Log cannot be saved; after a restart entries will be sent twice", "file", p.path, "err", err, "remedy", "free space on the disk, or repair it")
		}
	}
	p.failed = fmt.Sprint(err)
}
