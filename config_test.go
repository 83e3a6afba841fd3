package main

import (
	"encoding/binary"
	"os"
	"ossecd/keys/setting"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/urfave/cli/v2"
)

var testSections = sections{
	"agent": {
		&cli.StringFlag{Name: "config"},
		&cli.BoolFlag{Name: "from-start"},
		&cli.DurationFlag{Name: "notify-time"},
		&cli.StringSliceFlag{Name: "file"},
		&cli.IntFlag{Name: "limit"},
		&cli.StringFlag{Name: "keys", Aliases: []string{"key-file"}},
		&cli.GenericFlag{Name: "source", Hidden: true, Value: &setting.Tables{}},
	},
	"manager": {
		&cli.StringFlag{Name: "keys"},
		&cli.StringSliceFlag{Name: "listen"},
		&cli.StringFlag{Name: "enroll-listen", Category: "enroll"},
		&cli.StringFlag{Name: "enroll-client-ca", Category: "enroll"},
	},
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	got, _, err := parseConfig("ossecd.toml", `
manager = { keys = "one", enroll.listen = ":1515", enroll.client_ca = "ca.pem" }
[agent]
from_start = true
notify_time = "1m30s"
file = ["/var/log/a,b", '/var/log/*.log']
limit = 7
[[agent.source]]
type = "journald"

[[agent.source]]
units = ["ssh", "cron"]
every = 5
`, testSections)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		"manager": {"keys": {texts: []string{"one"}, line: 2}, "enroll-listen": {texts: []string{":1515"}, line: 2}, "enroll-client-ca": {texts: []string{"ca.pem"}, line: 2}},
		"agent": {
			"from-start": {texts: []string{"true"}, line: 4}, "notify-time": {texts: []string{"1m30s"}, line: 5},
			"file": {texts: []string{"/var/log/a,b", "/var/log/*.log"}, line: 6}, "limit": {texts: []string{"7"}, line: 7},
			"source": {line: 11, tables: []*setting.Table{
				setting.NewTable("ossecd.toml:8: source[1]", map[string]any{"type": "journald"}),
				setting.NewTable("ossecd.toml:11: source[2]", map[string]any{"units": []any{"ssh", "cron"}, "every": int64(5)}),
			}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestOldKeys(t *testing.T) {
	t.Parallel()
	got, renamed, err := parseConfig("ossecd.toml", "[agent]\nlimit = 7\nkey_file = \"x\"\n", testSections)
	if err != nil || !slices.Equal(got["agent"]["keys"].texts, []string{"x"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if list := renamed["agent"]; len(list) != 1 || list[0].Error() != "ossecd.toml:3: key_file is called keys now; the old name ends with the next version" {
		t.Errorf("warnings: %v", list)
	}
}

func TestParseConfigFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "[agent]\nkeys = \"x\"\nnotify_tme = \"5m\"\n", []string{`ossecd.toml:3: unknown key "notify_tme" in [agent]; did you mean "notify_time"?`}},
		{"both names", "[agent]\nkeys = \"x\"\nkey_file = \"y\"\n", []string{`ossecd.toml:3: key_file in [agent] is the old name of keys, which is there too; leave it out`}},
		{"nothing close", "[manager.enroll]\nzzz = 1\n", []string{`ossecd.toml:2: unknown key "zzz" in [manager.enroll]; use "client_ca", "listen"`}},
		{"unknown section", "[agnet]\nx = 1\n", []string{`ossecd.toml:1: unknown section or key "agnet"; did you mean [agent]?`}},
		{"key outside", "keys = \"x\"\n", []string{`ossecd.toml:1: unknown section or key "keys"; use [agent], [manager]`}},
		{"section no table", "\nagent = 3\n", []string{`ossecd.toml:2: "agent" is a section; write [agent] on a line of its own and the keys below`}},
		{"array of tables", "[[agent]]\nkeys = \"x\"\n", []string{`ossecd.toml:1: "agent" is a section; write [agent] on a line of its own and the keys below`}},
		{"names another file", "[agent]\nconfig = \"x\"\n", []string{`ossecd.toml:2: unknown key "config" in [agent]`}},
		{"flag spelling", "[agent]\nnotify-time = \"5m\"\n", []string{`ossecd.toml:2: unknown key "notify-time" in [agent]; did you mean "notify_time"?`}},
		{"other command's section", "[agent]\n[manager]\nlisten = 5\n", []string{`ossecd.toml:3: listen in [manager] wants an array of strings such as ["one", "two"], not 5`}},
		{
			"every type", `[agent]
from_start = "yes"
notify_time = 300
file = "/var/log/a"
limit = 1.5
keys = ["x"]
`, []string{
				`ossecd.toml:2: from_start in [agent] wants true or false, not "yes"`,
				`ossecd.toml:3: notify_time in [agent] wants a duration such as "90s" or "5m", not 300`,
				`ossecd.toml:4: file in [agent] wants an array of strings such as ["one", "two"], not "/var/log/a"`,
				`ossecd.toml:5: limit in [agent] wants an integer, not 1.5`,
				`ossecd.toml:6: keys in [agent] wants a string, not an array of other values`,
			},
		},
		{"bad duration", "[agent]\nnotify_time = \"5 min\"\n", []string{`ossecd.toml:2: notify_time in [agent] wants a duration such as "90s" or "5m", not "5 min"`}},
		{"one table for many", "[agent]\n[agent.source]\nx = 1\n", []string{`ossecd.toml:2: source in [agent] is made of tables; write [[agent.source]] on a line of its own`}},
		{"a value for tables", "[agent]\nsource = \"x\"\n", []string{`ossecd.toml:2: source in [agent] is made of tables`}},
		{"mixed array", "[agent]\nfile = [\"a\", 1]\n", []string{`ossecd.toml:2: file in [agent] wants an array of strings`}},
		{"empty array", "[agent]\nfile = []\n", []string{`not an empty array`}},
		{"date", "[agent]\nkeys = 2026-11-22\n", []string{`not a date or time`}},
		{"table for a value", "[agent]\n[agent.keys]\nx = 1\n", []string{`ossecd.toml:2: keys in [agent] wants a string, not a table`}},
		{"key in a table", "[manager.enroll]\nlisten = 1\nclient-ca = \"x\"\n", []string{
			`ossecd.toml:2: enroll.listen in [manager] wants a string, not 1`, `ossecd.toml:3: unknown key "client-ca" in [manager.enroll]; did you mean "client_ca"?`,
		}},
		{"key not in its table", "[manager]\nenroll_listen = \":1515\"\n", []string{`ossecd.toml:2: unknown key "enroll_listen" in [manager]; did you mean "enroll.listen"?`}},
		{"a value for a table of flags", "[manager]\nenroll = \":1515\"\n", []string{`ossecd.toml:2: enroll in [manager] is a table; write [manager.enroll] on a line of its own`}},
		{"tables for one of flags", "[[manager.enroll]]\nlisten = \":1515\"\n", []string{`enroll in [manager] is a table; write [manager.enroll] on a line of its own`}},
		{"dotted", "[agent]\n\nkey.x = 1\n", []string{`ossecd.toml:3: unknown key "key" in [agent]; did you mean "keys"?`}},
		{"multi-line array", "[agent]\nfile = [\n\"a\",\n\"b\"]\nkeyz = \"\"\n", []string{`ossecd.toml:5: unknown key "keyz"`}},
		{"syntax", "[agent]\nkeys = \"x\nlimit = 1\n", []string{`ossecd.toml:2: strings cannot contain newlines`}},
		{"twice", "[agent]\nlimit = 1\nlimit = 2\n", []string{`ossecd.toml:3: Key 'agent.limit' has already been defined`}},
		{"NUL", "[agent]\nkeys = \"\x00\"\n", []string{`ossecd.toml`}},
		{"UTF-16", "\xff\xfe[\x00a\x00", []string{`ossecd.toml`}},
		{"control characters in a key", "[agent]\n\"\\u001b[31m\" = 1\n", []string{`ossecd.toml:2: unknown key "\x1b[31m" in [agent]`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parseConfig("ossecd.toml", tt.text, testSections)
			if err == nil {
				t.Fatalf("taken; want %q", tt.want)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("got %d faults, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("fault %d:\n got %s\nwant %s", i+1, lines[i], want)
				}
			}
		})
	}
}

func TestParseConfigBounds(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("[agent]\n")
	for i := range 500 {
		text.WriteString("x" + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + strings.Repeat("z", i/26) + " = 1\n")
	}
	_, _, err := parseConfig("ossecd.toml", text.String(), testSections)
	if n := strings.Count(err.Error(), "\n"); n != maxFaults {
		t.Errorf("%d lines of faults, want %d and one that tells of the others", n+1, maxFaults)
	}
	path := filepath.Join(t.TempDir(), "big.toml")
	if err := os.WriteFile(path, make([]byte, maxConfigSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), "is it the right file") {
		t.Errorf("a file over the limit: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"[agent]\nkeys = \"x\"\nfile = [\"/var/log/*.log\"]\nnotify_time = \"5m\"\n",
		"agent.keys.x = 1\n[manager]\nlisten = []\n[[agent.source]]\nkind = \"file\"\n",
		"[agent]\nfile = [\n  'a', # b\n  \"\"\"\nc\"\"\"]\n", "a = { b = { c = 1979-05-27 } }",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, _, err := parseConfig("ossecd.toml", text, testSections)
		if err != nil && err.Error() == "" {
			t.Error("an error that says nothing")
		}
		for section, values := range got {
			for flag := range values {
				if !slices.Contains(flagNames(testSections[section]), flag) {
					t.Errorf("sets --%s, which [%s] has not", flag, section)
				}
			}
		}
	})
}

// A file that an editor or a shell of Windows saved is read like any other.
func TestMarkedConfig(t *testing.T) {
	t.Parallel()
	text := "[agent]\r\nname = \"ö\"\r\n"
	path := filepath.Join(t.TempDir(), "ossecd.toml")
	wide := []byte("\xff\xfe")
	for _, u := range utf16.Encode([]rune(text)) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	for _, in := range []string{text, "\ufeff" + text, string(wide)} {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readConfig(path); err != nil || got != text {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
