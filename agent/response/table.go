package response

import (
	"cmp"
	"errors"
	"path/filepath"

	"ossecd/agent/source"
)

// FromTable makes what obeys orders for active responses of the table [agent.active_response], as JSON; nil where it does not enable that.
// cfg has the directory of the programs where the table names none, and what the table does not say. Each fault begins with
// "active_response: ".
func FromTable(text string, cfg Config) (*Source, error) {
	if text == "" {
		return nil, nil
	}
	s, err := fromTable(text, cfg)
	return s, source.Prefix("active_response: ", err)
}

func fromTable(text string, cfg Config) (s *Source, err error) {
	t, err := source.ParseTable(text)
	if err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
			return nil, err
		}
	}
	enabled := t.Bool("enabled")
	cfg.Dir, cfg.Allow = cmp.Or(t.Text("dir"), cfg.Dir), t.Texts("allow")
	if enabled {
		s, err = New(cfg)
	}
	return s, errors.Join(t.End(), err)
}
