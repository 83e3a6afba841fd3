package sink

import (
	"slices"
	"strings"

	"ossecd/keys/setting"
)

// Filter says which events a sink is for. An empty list means any; the zero Filter lets all pass.
type Filter struct {
	Agents    []string // globs, over ID or name
	Queues    []string // of one character each
	Locations []string // globs

	Without []string // actions of the manager's own reports which the sink is not for
	Actions []string // of reports; nothing else passes
	Alerts  bool     // only reports that somebody should see: all but the first words of an agent

	own string // details of a report of losses of the sink itself
}

func (f *Filter) empty() bool {
	return len(f.Agents) == 0 && len(f.Queues) == 0 && len(f.Locations) == 0 && len(f.Without) == 0 && !f.reports()
}

// reports says that the sink is for reports alone.
func (f *Filter) reports() bool { return len(f.Actions) > 0 || f.Alerts }

// shuts says that nothing of the agent passes.
func (f *Filter) shuts(id, name string) bool {
	return len(f.Agents) > 0 && !slices.ContainsFunc(f.Agents, func(g string) bool { return glob(g, id) || glob(g, name) })
}

// passes says whether an event passes. What concerns no agent passes where none is named. Losses of one sink are told to it, and to those
// that are for reports.
func (f *Filter) passes(e *Event) bool {
	if len(f.Agents) > 0 && (len(e.ID) == 0 || f.shuts(string(e.ID), string(e.Name))) {
		return false
	}
	if string(e.Action) == Lost && len(e.Details) > 0 && string(e.Details) != f.own && !f.reports() {
		return false
	}
	if len(e.Action) > 0 && slices.Contains(f.Without, string(e.Action)) {
		return false
	}
	if len(f.Actions) > 0 && !slices.Contains(f.Actions, string(e.Action)) {
		return false
	}
	if f.Alerts && (len(e.Action) == 0 || string(e.Action) == Connected && len(e.Details) == 0) {
		return false
	}
	if len(f.Queues) > 0 && !slices.ContainsFunc(f.Queues, func(q string) bool { return q[0] == e.Queue }) {
		return false
	}
	return len(f.Locations) == 0 || slices.ContainsFunc(f.Locations, func(g string) bool { return glob(g, e.Location) })
}

// glob says whether s is what the pattern describes: "*" stands for any bytes, "/" among them, or none, and "?" for one.
func glob[T string | []byte](pattern string, s T) bool {
	p, i := 0, 0
	star, from := -1, 0 // the last star, and where what it stands for may end next
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// ReadFilter reads the keys that say which events a sink is for.
func ReadFilter(t *setting.Table) Filter {
	f := Filter{Agents: t.Strings("agents"), Queues: t.Strings("queues"), Locations: t.Strings("locations"), Actions: t.Strings("actions")}
	for _, q := range f.Queues {
		if len(q) != 1 {
			t.Fault("queues", "%.40q is not a queue; a queue is one character, as in [\"1\", \"8\"]", q)
			break
		}
	}
	for _, a := range f.Actions {
		if !slices.Contains(Actions, a) {
			t.Fault("actions", "%.40q is unknown; use %s", a, strings.Join(Actions, ", "))
		}
	}
	return f
}
