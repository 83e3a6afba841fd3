package control

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"ossecd/keys"
	"ossecd/manager/fleet"
)

// Query says which agents are asked for, and in which order: the parameters of GET /v1/agents.
type Query struct {
	States []string // "state", can be repeated; none is all
	Group  string   // "group"
	Match  string   // "match": a pattern for IDs and names
	Sort   string   // "sort": one of sortKeys, with "-" in front for the other way round; empty is by ID
	Limit  int      // "limit": how many at most; 0 is all
}

var states = []string{"connected", "disconnected", "never"}

// sortKeys give what agents are sorted by, besides their IDs.
var sortKeys = map[string]func(a *fleet.Agent) (number uint64, text string){
	"id":        func(*fleet.Agent) (uint64, string) { return 0, "" },
	"name":      func(a *fleet.Agent) (uint64, string) { return 0, a.Key.Name },
	"ip":        func(a *fleet.Agent) (uint64, string) { return 0, a.Key.Address.String() },
	"source":    func(a *fleet.Agent) (uint64, string) { return 0, sourceOf(a) },
	"state":     func(a *fleet.Agent) (uint64, string) { return 0, a.Status().State },
	"version":   func(a *fleet.Agent) (uint64, string) { return 0, a.Conversation().Account().Program },
	"channel":   func(a *fleet.Agent) (uint64, string) { return 0, channelOf(a.Conversation().Traits()) },
	"events":    func(a *fleet.Agent) (uint64, string) { return a.Conversation().Account().Events, "" },
	"missing":   func(a *fleet.Agent) (uint64, string) { return a.Conversation().Account().Missing, "" },
	"refused":   func(a *fleet.Agent) (uint64, string) { return refusedOf(a.Conversation().Account()), "" },
	"last_seen": func(a *fleet.Agent) (uint64, string) { return uint64(max(0, a.Status().LastSeen.UnixNano())), "" },
}

// sortNames are what --sort takes.
func sortNames() string { return strings.Join(slices.Sorted(maps.Keys(sortKeys)), ", ") }

// Validate says what is wrong with a query.
func (q *Query) Validate() error {
	for _, s := range q.States {
		if !slices.Contains(states, s) {
			return fmt.Errorf("state: %.40q is none; use %s", s, strings.Join(states, ", "))
		}
	}
	if _, err := path.Match(q.Match, ""); err != nil {
		return fmt.Errorf("%.40q is not a pattern; use * for any text, ? for one character, and no [ without ]", q.Match)
	}
	if _, err := path.Match(q.Group, ""); err != nil {
		return fmt.Errorf("group: %.40q is not a pattern; use * for any text, ? for one character, and no [ without ]", q.Group)
	}
	if q.Sort != "" && sortKeys[strings.TrimPrefix(q.Sort, "-")] == nil {
		return fmt.Errorf("sort: %.40q is none; use %s, with - in front for the other way round", q.Sort, sortNames())
	}
	if q.Limit < 0 {
		return errors.New("limit: must not be negative")
	}
	return nil
}

// values are the parameters of a query.
func (q *Query) values() url.Values {
	v := make(url.Values)
	for _, s := range q.States {
		v.Add("state", s)
	}
	for name, text := range map[string]string{"group": q.Group, "match": q.Match, "sort": q.Sort} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// parseQuery reads parameters. One that there is not is an error, so that nobody takes all agents for some.
func parseQuery(v url.Values) (q Query, err error) {
	for name, texts := range v {
		switch name {
		case "state":
			q.States = texts
		case "group":
			q.Group = texts[0]
		case "match":
			q.Match = texts[0]
		case "sort":
			q.Sort = texts[0]
		case "limit":
			if q.Limit, err = strconv.Atoi(texts[0]); err != nil {
				return q, errors.New("limit: want a number")
			}
		default:
			return q, fmt.Errorf("%.40q is no parameter; use state, group, match, sort and limit", name)
		}
		if name != "state" && len(texts) > 1 {
			return q, fmt.Errorf("%s: given twice", name)
		}
	}
	return q, q.Validate()
}

// run finds the agents that a query asks for, in their order.
func (q *Query) run(all *fleet.Roster, groups func(*fleet.Agent) []string) []*fleet.Agent {
	found := make([]*fleet.Agent, 0, all.Len())
	for a := range all.Each {
		switch {
		case q.Match != "" && !matches(q.Match, a.Key):
		case len(q.States) > 0 && !slices.Contains(q.States, a.Status().State):
		case q.Group != "" && !slices.ContainsFunc(groups(a), func(g string) bool { ok, _ := path.Match(q.Group, g); return ok }):
		default:
			found = append(found, a)
		}
	}
	fleet.Sort(found)
	name, reverse := strings.CutPrefix(q.Sort, "-")
	if name != "" && name != "id" {
		sortBy(found, sortKeys[name])
	}
	if reverse {
		slices.Reverse(found)
	}
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found
}

// sortBy sorts agents by what key gives for them now; those that are alike stay as they are.
func sortBy(agents []*fleet.Agent, key func(*fleet.Agent) (uint64, string)) {
	type keyed struct {
		number uint64
		text   string
		agent  *fleet.Agent
	}
	all := make([]keyed, len(agents))
	for i, a := range agents {
		all[i].number, all[i].text = key(a)
		all[i].agent = a
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text)) })
	for i := range all {
		agents[i] = all[i].agent
	}
}

// matches says whether a pattern describes an agent's ID, with or without its zeros, or its name.
func matches(pattern string, k keys.Key) bool {
	for _, text := range []string{k.ID, strings.TrimLeft(k.ID, "0"), k.Name} {
		if ok, _ := path.Match(pattern, text); ok {
			return true
		}
	}
	return false
}
