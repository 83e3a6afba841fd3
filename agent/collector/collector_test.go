package collector

import (
	"encoding/json"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ossecd/agent/source"
	"ossecd/keys/setting/settingtest"
)

// tables is a configuration with these tables.
func tables(t *testing.T, texts ...string) Config {
	t.Helper()
	return Config{State: t.TempDir(), MaxEvent: 6000, Tables: settingtest.Tables(t, "source", texts...)}
}

func makeAll(c Config) ([]source.Source, error) { return c.Make(slog.New(slog.DiscardHandler)) }

func TestTables(t *testing.T) {
	t.Parallel()
	good := []string{
		`{"type":"file","file":["/var/log/*.log"],"exclude":["/var/log/x.log"],"from_start":true,"location":"logs"}`,
		`{"type":"file","name":"more","file":["/var/log/messages"]}`,
		`{"type":"command","command":["df","-P"],"interval":"90s","timeout":"5s","alias":"disks","max_output":1000}`,
		`{"type":"command","command":["df"],"max_output":"32 KB"}`,
		`{"type":"journald","units":["ssh.service"],"identifiers":["sudo"],"priority":"warning"}`,
		`{"type":"journald","name":"file"}`,
		`{"type":"syslog","listen":"127.0.0.1:5140","protocols":["udp","tcp"],"allow":["127.0.0.1","10.0.0.0/8"],"idle_timeout":"1h"}`,
	}
	if runtime.GOOS != "windows" {
		good = append(good, `{"type":"full-command","shell":"netstat -tan | sort","location":"net"}`, `{"type":"ossec-queue","path":"/var/ossec/queue/ossec/queue"}`)
	}
	cfg := tables(t, good...)
	list, err := makeAll(cfg)
	if err != nil || len(list) != len(good) {
		t.Errorf("%d sources, %v; want %d", len(list), err, len(good))
	}
	if left, err := os.ReadDir(cfg.State); err != nil || len(left) > 0 {
		t.Errorf("checking left something behind: %v, %v", left, err)
	}
}

func TestTableFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, table, want string }{
		{"no type", `{}`, "source[1]: type: none given"},
		{"unknown type", `{"type":"comand"}`, `source[1]: type: "comand" is unknown; did you mean "command"?`},
		{"a type that is no text", `{"type":5}`, "source[1]: type: wants a string, not 5"},
		{"nothing close", `{"type":"syslog","listen":"127.0.0.1:514","severity":"x"}`, `source[1]: unknown key "severity"; use "allow", "deny", "idle_timeout", "listen", "location", `},
		{"unknown key", `{"type":"file","file":["a"],"exclud":["b"]}`, `source[1]: unknown key "exclud"; did you mean "exclude"?`},
		{"another kind's key", `{"type":"file","file":["a"],"interval":"5m"}`, `source[1]: unknown key "interval"`},
		{"no globs", `{"type":"file"}`, "source[1]: file: none given"},
		{"a bad glob", `{"type":"file","file":["[x"]}`, "source[1]: file: "},
		{"a bad glob to leave out", `{"type":"file","file":["x"],"exclude":["[x"]}`, "source[1]: exclude: "},
		{"no array", `{"type":"file","file":"a"}`, `source[1]: file: wants an array of strings such as ["one", "two"], none of them empty, not "a"`},
		{"an empty array", `{"type":"journald","units":[]}`, "source[1]: units: wants an array of strings"},
		{"an empty text", `{"type":"file","file":["a"],"location":""}`, "source[1]: location: is empty"},
		{"a location of two lines", `{"type":"file","file":["a"],"location":"a\nb"}`, "source[1]: location: "},
		{"a long location", `{"type":"file","file":["a"],"location":"` + strings.Repeat("x", 513) + `"}`, "source[1]: location: "},
		{"a name that is a path", `{"type":"file","name":"../../etc/x","file":["a"]}`, `source[1]: name: "../../etc/x"; use`},
		{"a number for a duration", `{"type":"command","command":["df"],"interval":5}`, `source[1]: interval: wants a duration such as "90s" or "5m", above zero, not 5`},
		{"a negative duration", `{"type":"command","command":["df"],"timeout":"-5s"}`, `source[1]: timeout: wants a duration such as "90s" or "5m", above zero, not "-5s"`},
		{"a fraction", `{"type":"command","command":["df"],"max_output":1.5}`, `source[1]: max_output: wants a size such as "64 MB" or "1 GB", from 1 B to 16 MB, not 1.5`},
		{"a number below zero", `{"type":"command","command":["df"],"max_output":-1}`, `source[1]: max_output: wants a size such as "64 MB" or "1 GB", from 1 B to 16 MB, not -1`},
		{"a text for yes", `{"type":"journald","from_start":"yes"}`, "source[1]: from_start: wants true or false, not \"yes\""},
		{"no command", `{"type":"full-command"}`, "source[1]: command: none given"},
		{"an open port", `{"type":"syslog","listen":":514"}`, "source[1]: allow: none given"},
		{"no path", `{"type":"ossec-queue"}`, "source[1]: path: none given"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := makeAll(tables(t, tt.table))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %q in it", err, tt.want)
			}
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "source[1]: ") {
					t.Errorf("a fault does not name its table: %q", line)
				}
			}
		})
	}
}

// Old names do what they did, with a warning each.
func TestOldNames(t *testing.T) {
	t.Parallel()
	cfg := tables(t, `{"type":"file","globs":["/var/log/*.log"]}`, `{"type":"syslog","listen":"127.0.0.1:0"}`)
	want := []string{"source[1]: globs is called file now"}
	if runtime.GOOS != "windows" {
		cfg.Tables = settingtest.Tables(t, "source", `{"type":"file","globs":["/var/log/*.log"]}`, `{"type":"syslog","listen":"127.0.0.1:0"}`,
			`{"type":"full_command","shell":"netstat -tan"}`, `{"type":"socket","path":"/var/ossec/queue/ossec/queue"}`)
		want = append(want, "source[3]: type full_command is called full-command now", "source[4]: type socket is called ossec-queue now")
	}
	if _, err := makeAll(cfg); err != nil {
		t.Fatal(err)
	}
	if got := cfg.OldNames(); !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := makeAll(tables(t, `{"type":"file","globs":["a"],"file":["b"]}`)); err == nil || !strings.Contains(err.Error(), "source[1]: globs: is the old name of file, which is there too") {
		t.Errorf("both names: %v", err)
	}
}

// All faults of all tables are told at once, each on a line of its own.
func TestTableFaultsTogether(t *testing.T) {
	t.Parallel()
	_, err := makeAll(tables(t, `{"type":"command","x":1,"y":2}`, `{"type":"file","file":["a"]}`, `{"type":"file","name":"FILE","file":["b"]}`))
	want := []string{`source[1]: unknown key "x"`, `source[1]: unknown key "y"`, "source[1]: command: none", "source[3]: name: source[2] keeps its state"}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if len(lines) != len(want) || !strings.HasPrefix(line, want[i]) {
			t.Fatalf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
		}
	}
}

func TestCheckSources(t *testing.T) {
	t.Parallel()
	cfg := tables(t, `{"type":"command","command":["/no/such/program"]}`, `{"type":"wrong"}`)
	if err := cfg.Check(); err == nil || !strings.HasPrefix(err.Error(), "source[1]: command: ") || strings.Contains(err.Error(), "source[2]") {
		t.Errorf("got %v, want the missing program alone", err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(`{"type":"command","command":["df"],"interval":"5m"}`)
	f.Add(`{"type":"file","file":["a"],"name":"x"}`)
	f.Add(`{"type":"journald","units":["a"],"priority":"err"}`)
	f.Add(`{"type":"syslog","listen":"127.0.0.1:0"}`)
	f.Add(`{"type":"ossec-queue","path":"/x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var table map[string]any
		if json.Unmarshal([]byte(text), &table) != nil {
			t.Skip("no table")
		}
		list, err := makeAll(Config{State: "state", MaxEvent: 6000, Tables: settingtest.Tables(t, "source", text)})
		if len(list) != 1 || (list[0] == nil) != (err != nil) {
			t.Fatalf("%d sources, %v", len(list), err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "source[1]: ") {
			t.Fatalf("%v", err)
		}
	})
}
