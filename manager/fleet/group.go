package fleet

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

// Group is a table [[manager.group]]: some agents, and what they get.
type Group struct {
	Name   string
	Agents []string          // globs over IDs and names
	Shared string            // directory of their shared files; empty for none of their own
	Labels map[string]string // of their events
}

const (
	maxGroups = 1024
	maxLabel  = 256 // bytes of a label's value
)

// labelName is what a label may be called.
var labelName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// ParseGroups reads the tables [[manager.group]], each with name, agents (globs over IDs and names), and shared (a directory), labels or
// both. An agent has the files of the first group that it matches and that has some. It has the labels of all groups that it matches,
// and of two with the same name that of the first.
func ParseGroups(tables []*setting.Table) (groups []Group, err error) {
	if len(tables) > maxGroups {
		return nil, fmt.Errorf("group: %d are too many; use %d at most", len(tables), maxGroups)
	}
	for i, t := range tables {
		t = t.Begin()
		g := Group{t.String("name", fmt.Sprintf("group-%d", i+1)), t.Strings("agents"), t.String("shared", ""), t.Texts("labels")}
		if g.Agents == nil {
			t.Fault("agents", "missing; name IDs or names, as in agents = [\"web*\", \"007\"]")
		}
		for _, pattern := range g.Agents {
			if _, err := path.Match(pattern, ""); err != nil {
				t.Fault("agents", "%.40q is not a pattern; use * for any text, ? for one character, and no [ without ]", pattern)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(g.Labels)) {
			if !labelName.MatchString(name) {
				t.Fault("labels", `%.80q is not a name; use letters, digits, ".", "_" and "-", up to 64`, name)
			}
			if len(g.Labels[name]) > maxLabel {
				t.Fault("labels", "%s is longer than %d bytes", name, maxLabel)
			}
		}
		if g.Shared == "" && len(g.Labels) == 0 {
			t.Fault("shared", "missing, and labels too; name a directory with the files for these agents, or labels = { site = \"fra1\" }")
		}
		if slices.ContainsFunc(groups, func(other Group) bool { return other.Name == g.Name }) {
			t.Fault("name", "%.40q is taken by another group; give each its own", g.Name)
		}
		groups = append(groups, g)
		err = errors.Join(err, t.End())
	}
	return groups, err
}

// Has says whether one of the group's patterns describes an agent's ID or name.
func (g *Group) Has(id, name string) bool {
	return slices.ContainsFunc(g.Agents, func(p string) bool {
		byID, _ := path.Match(p, id)
		byName, _ := path.Match(p, name)
		return byID || byName
	})
}

// Groups are the names of the groups of the configuration that an agent is in.
func (f *Fleet) Groups(a *Agent) (names []string) {
	for i := range f.cfg.Groups {
		if g := &f.cfg.Groups[i]; g.Has(a.Key.ID, a.Key.Name) {
			names = append(names, g.Name)
		}
	}
	return names
}

// labelsOf is an agent's labels as a JSON object; nil where it has none. What is beyond sink.MaxLabels is left out.
func labelsOf(groups []Group, id, name string) []byte {
	labels := make(map[string]string)
	for i := range groups {
		if len(groups[i].Labels) > 0 && groups[i].Has(id, name) {
			for k, v := range groups[i].Labels {
				if _, has := labels[k]; !has {
					labels[k] = v
				}
			}
		}
	}
	if len(labels) == 0 {
		return nil
	}
	b := []byte{'{'}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if more := sink.Member(b, k, labels[k]); len(more) < sink.MaxLabels {
			b = more
		}
	}
	return append(b, '}')
}
