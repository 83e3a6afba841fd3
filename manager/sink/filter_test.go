package sink

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name   string
			filter Filter
			want   string
		}{
			{"none", Filter{}, "abcdewx"},
			{"ID", Filter{Agents: []string{"002"}}, "ce"},
			{"name", Filter{Agents: []string{"nobody", "web*"}}, "abdx"},
			{"queue", Filter{Queues: []string{"8", "9"}}, "b"},
			{"location", Filter{Locations: []string{"/var/log/*"}}, "ac"},
			{"all three", Filter{Agents: []string{"web*"}, Queues: []string{"1"}, Locations: []string{"/var/*"}}, "a"},
			{"presence", Filter{Without: []string{Connected, Disconnected}}, "abcdew"},
		}
		var specs []Spec
		var readers []*reader
		for _, tt := range tests {
			r := &reader{}
			s := spec(r)
			s.Filter = tt.filter
			specs, readers = append(specs, s), append(readers, r)
		}
		h := start(t, quiet, limits{}, specs...)
		web, db := NewAgent("001", "web01", "any"), NewAgent("002", "db01", "any")
		var l Lot
		l.Event(web, testNow, 1, from, '1', []byte("/var/log/auth.log"), []byte("a"))
		l.Event(web, testNow, 2, from, '8', []byte("syscheck"), []byte("b"))
		l.Event(db, testNow, 1, from, '1', []byte("/var/log/apt/x"), []byte("c"))
		l.Event(web, testNow, 3, from, '1', []byte("df"), []byte("d"))
		l.Event(db, testNow, 2, from, '2', []byte(""), []byte("e"))
		l.Report(nil, nil, testNow, "w", Report{})
		l.Report(web, nil, testNow, "x", Report{Action: Connected})
		h.Put(&l, false)
		end(t, h)
		for i, tt := range tests {
			got := ""
			for line := range strings.Lines(readers[i].String()) {
				if strings.HasPrefix(line, "{") {
					line = "x\n"
				}
				got += strings.TrimSpace(line)
			}
			c := h.list[i].counts()
			if got != tt.want || c.Filtered != uint64(7-len(tt.want)) || c.Received != uint64(len(tt.want)) {
				t.Errorf("%s: got %q with %+v, want %q", tt.name, got, c, tt.want)
			}
		}
	})
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "any/thing", true}, {"a*", "b", false}, {"web?", "web1", true}, {"web?", "web", false},
		{"*.log", "/a.log/b.log", true}, {"/var/*/x", "/var/a/b/x", true}, {"/var/*/x", "/var/a/b/y", false}, {"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false}, {"[a]", "a", false}, {`C:\*`, `C:\log`, true}, {"**", "x", true}, {"?", "", false},
	} {
		if got := glob(tt.pattern, tt.text); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.text, got)
		}
	}
}
