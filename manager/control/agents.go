package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ossecd/keys"
	"ossecd/keys/named"
	"ossecd/manager/fleet"
	"ossecd/proto"
)

const (
	// matchedHeader tells how many agents a query found, before its limit; knownHeader how many there are.
	matchedHeader = "Ossecd-Matched"
	knownHeader   = "Ossecd-Known"

	// flushEvery is after how many agents the reader gets another minute.
	flushEvery = 1000
)

// list answers GET /v1/agents: an Agent a line, made as it is written, so that however many there are take no memory.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	notes, err := keys.LoadNotes(s.cfg.Keys)
	if err != nil { // agents matter more than what is noted of them
		notes = new(keys.Notes)
	}
	limit := q.Limit
	q.Limit = 0
	roster := s.cfg.Fleet.Roster()
	found := q.run(roster, func(a *fleet.Agent) []string { return s.groups(a, notes) })
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set(matchedHeader, strconv.Itoa(len(found)))
	w.Header().Set(knownHeader, strconv.Itoa(roster.Len()))
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	out := bufio.NewWriterSize(w, 64<<10)
	defer out.Flush()
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for i, a := range found {
		if i%flushEvery == 0 {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
		}
		one := s.describe(a, notes)
		if e.Encode(&one) != nil {
			return
		}
	}
}

// detail answers GET /v1/agents/{agent}.
func (s *Server) detail(w http.ResponseWriter, r *http.Request) {
	k, err := named.Find(s.cfg.Store.Load(), r.PathValue("agent"), s.cfg.Keys)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	a := s.cfg.Fleet.Roster().ByID(k.ID)
	if a == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("agent %s: it is in the keys file, and not taken up yet; ask again in a moment", k.ID))
		return
	}
	notes, err := keys.LoadNotes(s.cfg.Keys)
	if err != nil {
		notes = new(keys.Notes)
	}
	d := AgentDetail{Agent: s.describe(a, notes), Rotating: a.Next() != nil, Refusals: []Refusal{}}
	for _, r := range a.Conversation().Account().Refused {
		one := Refusal{Reason: members(r.Reason), Count: r.Count, Proven: !r.Claimed, Remedy: r.Remedy}
		if r.Source.IsValid() {
			one.Source = r.Source.String()
		}
		d.Refusals = append(d.Refusals, one)
	}
	slices.SortStableFunc(d.Refusals, func(a, b Refusal) int { return int(min(b.Count, 1<<30)) - int(min(a.Count, 1<<30)) })
	d.Remedies = remedies(&d, a.Anywhere())
	answer(w, http.StatusOK, d)
}

// remedies are what to do about an agent.
func remedies(d *AgentDetail, anywhere bool) []string {
	list := []string{}
	for _, r := range d.Refusals {
		if d.State != "connected" || r.Proven {
			list = append(list, fmt.Sprintf("%s (%d): %s", strings.ReplaceAll(r.Reason, "_", " "), r.Count, r.Remedy))
		}
	}
	switch {
	case d.State == "never" && len(list) > 0:
	case d.State == "never":
		text := "check that the agent runs, that it has this manager's address, and that no firewall is in the way: nothing that claims to be this agent has come since the manager started"
		if !anywhere {
			text += "; its key is for " + d.IP + " alone, and what comes from another address counts as unknown address"
		}
		list = append(list, text)
	case d.Awaited:
		list = append(list, "wait: it was connected before the manager restarted, and is reported if it does not come back")
	case d.State == "disconnected":
		list = append(list, "check that the host and its agent run, and that no firewall or NAT is in the way")
	case d.Starting:
		list = append(list, "check that the manager's answers reach it: it has sent no keepalive since it started. Look for a firewall on the way back")
	}
	if d.Missing != nil && *d.Missing > 0 && *d.Missing >= d.Events/100 {
		list = append(list, "look at the network, and at kernel_dropped of ossecd manager status: messages of this agent did not come")
	}
	if d.Rotating && d.State == "connected" {
		list = append(list, "wait: a new key is ordered, which the agent takes up with one of its next keepalives if it is an ossecd")
	}
	return list
}

// groups are those of the configuration that an agent is in, and those with which its key was made.
func (s *Server) groups(a *fleet.Agent, notes *keys.Notes) []string {
	all := slices.Concat(s.cfg.Fleet.Groups(a), notes.Of(a.Key).Groups)
	slices.Sort(all)
	return slices.Compact(all)
}

// describe is how an agent is.
func (s *Server) describe(a *fleet.Agent, notes *keys.Notes) Agent {
	now, account := a.Status(), a.Conversation().Account()
	one := Agent{
		ID: a.Key.ID, Name: a.Key.Name, IP: a.Key.Address.String(), Groups: s.groups(a, notes),
		State: now.State, Starting: now.Starting, Awaited: now.Awaited, Interval: now.Interval.Seconds(), Source: sourceOf(a),
		Version: account.Program, Events: account.Events, Refused: refusedOf(account),
	}
	if one.Groups == nil {
		one.Groups = []string{}
	}
	if !now.LastSeen.IsZero() {
		seen := now.LastSeen.UTC().Round(time.Millisecond)
		one.LastSeen = &seen
	}
	if made := notes.Of(a.Key).Made; !made.IsZero() {
		one.KeyMade = &made
	}
	if t := a.Conversation().Traits(); t.Method != 0 {
		one.Channel, one.Cipher, one.Missing = channelOf(t), t.Method.String(), &account.Missing
	}
	return one
}

func sourceOf(a *fleet.Agent) string {
	if at := a.Conversation().Addr(); at.IsValid() {
		return at.String()
	}
	return ""
}

func channelOf(t fleet.Traits) string {
	switch {
	case t.Method == 0:
		return ""
	case t.Dialect == proto.Wazuh:
		return "wazuh"
	}
	return "ossec"
}

func refusedOf(a fleet.Account) (n uint64) {
	for _, r := range a.Refused {
		n += r.Count
	}
	return n
}
