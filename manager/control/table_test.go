package control

import (
	"os"
	"strings"
	"testing"
	"time"

	"ossecd/proto/printable"
)

func TestTable(t *testing.T) {
	t.Parallel()
	for colors, want := range map[bool]string{
		false: "ID   NAME       EVENTS\n1    a\\x1b[2Jb       5\n002  é              17\n",
		true:  "\x1b[1mID\x1b[0m   \x1b[1mNAME\x1b[0m       \x1b[1mEVENTS\x1b[0m\n1    a\\x1b[2Jb       5\n002  \x1b[31mé\x1b[0m              17\n",
	} {
		var b strings.Builder
		w := newTable(&b, colors, "ID", "NAME", "<EVENTS")
		w.row(cell{"1", plain}, cell{"a\x1b[2Jb", plain}, cell{"5", plain})
		w.row(cell{"002", plain}, cell{"é", red}, cell{"17", plain})
		if err := w.end(); err != nil || b.String() != want {
			t.Errorf("%v:\n%q, want\n%q (%v)", colors, b.String(), want, err)
		}
	}
}

// However many rows there are, no more than the first are kept.
func TestLongTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := newTable(&b, false, "A", "B")
	for range 5 * alignRows {
		w.row(cell{"line\nend", plain}, cell{"x", plain})
		if len(w.rows) > alignRows+1 {
			t.Fatalf("%d rows are kept", len(w.rows))
		}
	}
	w.end()
	if n := strings.Count(b.String(), "line\\nend  x\n"); n != 5*alignRows {
		t.Errorf("%d rows were written", n)
	}
}

func TestColored(t *testing.T) {
	t.Parallel()
	env := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		file *os.File
		env  func(string) string
		want bool
	}{{nil, env("", ""), false}, {null, env("", ""), true}, {null, env("NO_COLOR", "1"), false}, {null, env("TERM", "dumb"), false}} {
		if colored(c.file, c.env) != c.want {
			t.Errorf("want %v", c.want)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if terminal(printable.NewWriter(file)) != nil || terminal(new(strings.Builder)) != nil {
		t.Error("a file is taken for a terminal")
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KB", 1 << 30: "1 GB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// What is wrong with an agent has a remedy, and what is not has none.
func TestRemedies(t *testing.T) {
	t.Parallel()
	many := uint64(50)
	for name, c := range map[string]struct {
		agent AgentDetail
		want  string // of the first
	}{
		"connected":            {AgentDetail{Agent: Agent{State: "connected"}}, ""},
		"never":                {AgentDetail{Agent: Agent{State: "never", IP: "192.0.2.1"}}, "check that the agent runs"},
		"never, with a key":    {AgentDetail{Agent: Agent{State: "never"}, Refusals: []Refusal{{Reason: "wrong_key", Count: 2, Remedy: "export"}}}, "wrong key (2): export"},
		"claims of others":     {AgentDetail{Agent: Agent{State: "connected"}, Refusals: []Refusal{{Reason: "wrong_key", Remedy: "export"}}}, ""},
		"its own":              {AgentDetail{Agent: Agent{State: "connected"}, Refusals: []Refusal{{Reason: "repeated_count", Proven: true, Remedy: "look"}}}, "repeated count (0): look"},
		"disconnected":         {AgentDetail{Agent: Agent{State: "disconnected"}}, "check that the host"},
		"awaited":              {AgentDetail{Agent: Agent{State: "disconnected", Awaited: true}}, "wait"},
		"starting":             {AgentDetail{Agent: Agent{State: "connected", Starting: true}}, "check that the manager's answers"},
		"missing":              {AgentDetail{Agent: Agent{State: "connected", Missing: &many, Events: 500}}, "look at the network"},
		"missing of very many": {AgentDetail{Agent: Agent{State: "connected", Missing: &many, Events: 5_000_000}}, ""},
		"rotating":             {AgentDetail{Agent: Agent{State: "connected"}, Rotating: true}, "wait: a new key"},
	} {
		got := append(remedies(&c.agent, false), "")[0]
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
