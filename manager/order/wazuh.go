package order

import (
	"encoding/json"
	"strings"

	"ossecd/proto"
)

// Wazuh's agents from 4.2 on read an active response as JSON alone, and log "Invalid JSON message" at OSSEC's form
// (docs/protocol.md, "Control messages").

// wazuhOrder is an order in Wazuh's form.
type wazuhOrder struct {
	Version int `json:"version"`
	Origin  struct {
		Name   string `json:"name"`
		Module string `json:"module"`
	} `json:"origin"`
	Command    string `json:"command"`
	Parameters struct {
		ExtraArgs []string   `json:"extra_args"`
		Alert     wazuhAlert `json:"alert"`
	} `json:"parameters"`
}

type wazuhAlert struct {
	ID   string `json:"id,omitempty"`
	Rule struct {
		ID string `json:"id,omitempty"`
	} `json:"rule"`
	Location string `json:"location,omitempty"`
	Data     struct {
		User    string `json:"dstuser,omitempty"`
		Address string `json:"srcip,omitempty"`
	} `json:"data"`
}

// WazuhForm is an order as such an agent reads it: the text itself where it is no active response. The words of OSSEC's form are
// COMMAND USER ADDRESS ALERT RULE LOCATION; what has no value there has none here. OSSEC's restart becomes Wazuh's.
func WazuhForm(text string) string {
	command, ok := strings.CutPrefix(text, proto.Execd)
	if !ok || strings.HasPrefix(command, "{") {
		return text
	}
	words := strings.SplitN(command, " ", 6)
	word := func(i int) string {
		if i >= len(words) || words[i] == "-" || words[i] == "null" || words[i] == "(from_the_server)" || words[i] == "(no_rule_id)" {
			return ""
		}
		return words[i]
	}
	o := wazuhOrder{Version: 1, Command: words[0]}
	if strings.TrimRight(o.Command, "0") == "restart-ossec" {
		o.Command = "restart-wazuh"
	}
	o.Origin.Name, o.Origin.Module = "ossecd", "ossecd"
	o.Parameters.ExtraArgs = []string{}
	a := &o.Parameters.Alert
	a.Data.User, a.Data.Address, a.ID, a.Rule.ID, a.Location = word(1), word(2), word(3), word(4), word(5)
	b, err := json.Marshal(o)
	if err != nil { // nothing in it can fail
		return text
	}
	return proto.Execd + string(b)
}
