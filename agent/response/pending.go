package response

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"ossecd/keys/durable"
)

// undo is what is in force and to be undone. The state file is a JSON array of them.
type undo struct {
	Program string                     `json:"program"`
	Keys    []string                   `json:"keys"` // what tells it from others of this program
	Args    []string                   `json:"args,omitempty"`
	JSON    map[string]json.RawMessage `json:"order,omitempty"`
	Due     time.Time                  `json:"due"`
}

// same says that both do the same thing.
func (u undo) same(v undo) bool { return u.Program == v.Program && slices.Equal(u.Keys, v.Keys) }

// load reads the state file; it may be missing.
func load(path string) (list []undo, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("active responses to undo: %s: %w; undo by hand what is in force, and remove the file", path, err)
	}
	return list, nil
}

func store(path string, list []undo) error {
	if len(list) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return durable.ReplaceFile(path, text, 0o600)
}
