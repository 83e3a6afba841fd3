package response

import (
	"errors"
	"path/filepath"

	"ossecd/keys/setting"
)

// FromTable makes what obeys orders for active responses of the table [agent.active_response]; nil where it does not enable that.
// cfg has the directory of the programs where the table names none, and what the table does not say. Each fault begins with the
// place of the table.
func FromTable(t *setting.Table, cfg Config) (s *Source, err error) {
	if t == nil {
		return nil, nil
	}
	t = t.Begin()
	if cfg.Dir != "" {
		if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
			return nil, t.Place(err)
		}
	}
	enabled := t.Bool("enabled")
	cfg.Dir, cfg.Allow = t.String("dir", cfg.Dir), t.Strings("allow")
	if enabled {
		s, err = New(cfg)
	}
	return s, errors.Join(t.End(), t.Place(err))
}
