package manager

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ossecd/manager/sink"
)

// maxGroups bounds the tables [[manager.group]].
const maxGroups = 1024

// planGroups reads the tables of Config.Groups, each with name, agents (globs over IDs and names) and shared (a directory). An
// agent is of the first group that it matches; those of none get what is in Config.Shared, if that is given.
func (c *Config) planGroups() (groups []*sharing, err error) {
	if len(c.Groups) > maxGroups {
		return nil, fmt.Errorf("group: %d are too many; use %d at most", len(c.Groups), maxGroups)
	}
	for i, text := range c.Groups {
		t := sink.NewTable(text)
		g := &sharing{name: t.String("name", fmt.Sprintf("group-%d", i+1)), agents: t.Strings("agents"), dir: sharedDir{path: t.String("shared", "")}}
		if g.agents == nil {
			t.Fault("agents", "missing; name IDs or names, as in agents = [\"web*\", \"007\"]")
		}
		for _, pattern := range g.agents {
			if _, err := path.Match(pattern, ""); err != nil {
				t.Fault("agents", "%.40q is no pattern; use * for any text, ? for one character, and no [ without ]", pattern)
			}
		}
		if g.dir.path == "" {
			t.Fault("shared", "missing; name a directory with the files for these agents")
		}
		if slices.ContainsFunc(groups, func(h *sharing) bool { return h.name == g.name }) {
			t.Fault("name", "%.40q is taken by another group; give each its own", g.name)
		}
		groups = append(groups, g)
		if faults := t.End(); faults != nil {
			for text := range strings.Lines(faults.Error()) {
				err = errors.Join(err, fmt.Errorf("group[%d]: %s", i+1, strings.TrimSuffix(text, "\n")))
			}
		}
	}
	if c.Shared != "" {
		groups = append(groups, &sharing{name: "all others", dir: sharedDir{path: c.Shared}})
	}
	return groups, err
}

// matchesAny says whether one of the patterns describes an agent's ID or name.
func matchesAny(patterns []string, id, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		byID, _ := path.Match(p, id)
		byName, _ := path.Match(p, name)
		return byID || byName
	})
}
