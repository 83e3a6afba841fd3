package journald

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"ossecd/keys/durable"
)

// cursor is a place in the journal, and the content of the state file: the last entry that was sent, or before there was
// any, the time from which on to read in seconds since 1970. With neither it is the journal's beginning.
type cursor struct {
	Cursor string `json:"cursor,omitempty"`
	Since  string `json:"since,omitempty"`
}

const (
	maxCursor    = 1024 // bytes; systemd's have some 140
	maxStateFile = 4096
)

// load reads the state file. What cannot be used is logged, and reading begins as if there were none.
func (s *Source) load() cursor {
	var c cursor
	text, err := os.ReadFile(s.cfg.State)
	if err == nil {
		err = json.Unmarshal(text[:min(len(text), maxStateFile)], &c)
		if err == nil && !c.valid() {
			err = errors.New("it holds no cursor")
		}
	}
	switch {
	case err == nil:
		return c
	case !errors.Is(err, fs.ErrNotExist):
		s.cfg.Log.Error("the position in the journal was lost; reading starts over", "file", s.cfg.State, "err", err, "remedy", "check the disk")
	}
	if s.cfg.FromStart {
		return cursor{}
	}
	return cursor{Since: fmt.Sprint(time.Now().Unix())}
}

func (c cursor) valid() bool {
	return isCursor(c.Cursor) && strings.Trim(c.Since, "0123456789") == "" && len(c.Since) < 20
}

// isCursor says that text looks like one of systemd's: "s=HEX;i=HEX;…".
func isCursor(text string) bool {
	return len(text) <= maxCursor && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=;-_") == ""
}

// save writes the state file, if there is anything new.
func (f *follower) save() {
	f.saved = time.Now()
	if !f.dirty {
		return
	}
	text, err := json.Marshal(f.cursor)
	if err == nil {
		err = durable.ReplaceFile(f.cfg.State, append(text, '\n'), 0o600)
	}
	f.dirty = err != nil
	if err != nil && err.Error() != f.failed {
		f.cfg.Log.Error("the position in the journal cannot be saved; after a restart entries will be sent twice", "file", f.cfg.State, "err", err, "remedy", "free space on the disk, or repair it")
	}
	f.failed = fmt.Sprint(err)
}
