package manager

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

// maxGroups bounds the tables [[manager.group]].
const maxGroups = 1024

// labelling is what labels the agents of one group get.
type labelling struct {
	agents []string // globs over IDs and names
	labels map[string]string
}

const maxLabel = 256 // bytes of a label's value

// labelName is what a label may be called.
var labelName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// planGroups reads the tables of Config.Groups, each with name, agents (globs over IDs and names), and shared (a directory), labels or
// both. An agent has the files of the first group that it matches and that has some; else those in Config.Shared, if that is given. It has the
// labels of all groups that it matches, and of two with the same name that of the first.
func (c *Config) planGroups() (groups []*sharing, labels []labelling, err error) {
	if len(c.Groups) > maxGroups {
		return nil, nil, fmt.Errorf("group: %d are too many; use %d at most", len(c.Groups), maxGroups)
	}
	var names []string
	for i, t := range c.Groups {
		t = t.Begin()
		name, agents, shared := t.String("name", fmt.Sprintf("group-%d", i+1)), t.Strings("agents"), t.String("shared", "")
		l := labelling{agents, t.Texts("labels")}
		if agents == nil {
			t.Fault("agents", "missing; name IDs or names, as in agents = [\"web*\", \"007\"]")
		}
		for _, pattern := range agents {
			if _, err := path.Match(pattern, ""); err != nil {
				t.Fault("agents", "%.40q is not a pattern; use * for any text, ? for one character, and no [ without ]", pattern)
			}
		}
		l.check(t)
		if shared == "" && len(l.labels) == 0 {
			t.Fault("shared", "missing, and labels too; name a directory with the files for these agents, or labels = { site = \"fra1\" }")
		}
		if slices.Contains(names, name) {
			t.Fault("name", "%.40q is taken by another group; give each its own", name)
		}
		names = append(names, name)
		if shared != "" {
			groups = append(groups, &sharing{name: name, agents: agents, dir: sharedDir{path: shared}})
		}
		if len(l.labels) > 0 {
			labels = append(labels, l)
		}
		err = errors.Join(err, t.End())
	}
	if c.Shared != "" {
		groups = append(groups, &sharing{name: "all others", dir: sharedDir{path: c.Shared}})
	}
	return groups, labels, err
}

func (l *labelling) check(t *setting.Table) {
	for _, name := range slices.Sorted(maps.Keys(l.labels)) {
		if !labelName.MatchString(name) {
			t.Fault("labels", `%.80q is not a name; use letters, digits, ".", "_" and "-", up to 64`, name)
		}
		if len(l.labels[name]) > maxLabel {
			t.Fault("labels", "%s is longer than %d bytes", name, maxLabel)
		}
	}
}

// labelsOf is an agent's labels as a JSON object; nil where it has none. What is beyond sink.MaxLabels is left out.
func labelsOf(all []labelling, id, name string) []byte {
	labels := make(map[string]string)
	for _, l := range all {
		if matchesAny(l.agents, id, name) {
			for k, v := range l.labels {
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

// matchesAny says whether one of the patterns describes an agent's ID or name.
func matchesAny(patterns []string, id, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		byID, _ := path.Match(p, id)
		byName, _ := path.Match(p, name)
		return byID || byName
	})
}
