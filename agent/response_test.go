//go:build unix

package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys/setting/settingtest"
	"ossecd/keys/testprogram"
)

// An order is obeyed where that is enabled, and the manager hears of it.
func TestAnActiveResponse(t *testing.T) {
	two(t, func(c *Config) {
		dir := filepath.Join(filepath.Dir(c.State), "bin")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		testprogram.Write(t, filepath.Join(dir, "deny.sh"), "#!/bin/sh\necho \"$@\" >> "+filepath.Join(dir, "out")+"\n")
		table, err := json.Marshal(map[string]any{"enabled": true, "dir": dir, "allow": []string{"deny.sh"}})
		if err != nil {
			t.Fatal(err)
		}
		c.ActiveResponse = settingtest.Table(t, "active_response", string(table))
	}, func(r *rig, m, _ *fakeManager) {
		r.start()
		time.Sleep(time.Second)
		m.take()
		m.send("#!-execd deny60 - 10.9.8.7 (from_the_server) (no_rule_id)")
		m.send("#!-execd other60 - 10.9.8.7 (from_the_server) (no_rule_id)")
		time.Sleep(2 * time.Minute)
		var told []string
		for _, h := range m.take() {
			if _, text, ok := strings.Cut(h.text, "deny.sh "); ok && strings.HasPrefix(h.text, "1:active-responses.log:") {
				told = append(told, text)
			}
		}
		if got := strings.Join(told, ", "); got != "add - 10.9.8.7 (from_the_server) (no_rule_id), delete - 10.9.8.7 (from_the_server) (no_rule_id)" {
			t.Errorf("the manager heard %q", got)
		}
		if r.log.Count("was refused", "other60") != 1 {
			t.Errorf("the other one: %s", r.log)
		}
		r.mustStop()
	})
}

// Nothing is run unless it is enabled.
func TestActiveResponsesAreOff(t *testing.T) {
	t.Parallel()
	for _, table := range []string{`{}`, `{"enabled":false,"dir":"/tmp","allow":["x"]}`} {
		c := Config{Intake: Intake{ActiveResponse: settingtest.Table(t, "active_response", table)}}
		if s, err := c.responses(nil); s != nil || err != nil {
			t.Errorf("%s: %v, %v", table, s, err)
		}
	}
	for _, table := range []string{`{"enabled":true}`, `{"enabled":true,"dir":"bin","allow":["x"]}`, `{"enabled":true,"dir":"/bin","allow":["../x"]}`, `{"enable":true}`, `{"enabled":"yes"}`} {
		c := Config{Intake: Intake{ActiveResponse: settingtest.Table(t, "active_response", table)}}
		if _, err := c.responses(nil); err == nil || !strings.HasPrefix(err.Error(), "active_response: ") {
			t.Errorf("%s: %v", table, err)
		}
	}
}
