package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys/setting/settingtest"
	"ossecd/proto"
)

func TestValidateReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := Config{
		Managers: []string{"mgr", "MGR:1514", "bad:port"}, Intake: Intake{Files: []string{"/var/log/[", "/var/log/*.log"}},
		Method: 9, Dialect: 9, NotifyTime: time.Millisecond, TimeReconnect: time.Microsecond,
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"keys:", "state:", `"MGR:1514" is listed twice`, `"bad:port"`, `"/var/log/["`, "crypto:", "dialect:", "notify-time:"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("want %q once in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d faults, want 8:\n%v", n, err)
	}
	good := Config{Keys: "k", State: "s", Managers: []string{"mgr", "mgr:1515"}, Intake: Intake{Files: []string{"/var/log/*.log"}}}
	if err := good.Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	if got := good.withDefaults(); got.NotifyTime != 5*time.Minute || got.TimeReconnect != 15*time.Minute {
		t.Errorf("defaults %v and %v", got.NotifyTime, got.TimeReconnect)
	}
	good.TimeReconnect = 3 * time.Second
	if got := good.withDefaults(); got.NotifyTime != time.Second || got.TimeReconnect != 3*time.Second || good.Validate() != nil {
		t.Errorf("with a silence of 3 s: keepalives each %v, %v", got.NotifyTime, good.Validate())
	}
}

func TestKeyText(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{fixedKey: true, " " + fixedKey + "\n": true, "MDAxIGZpeGVkMSBhbnkgYWJj": true, "001 fixed1": false, "MDAx": false} {
		key, _, err := (&Config{Keys: "/nowhere/at/all", KeyText: text}).loadKey()
		if (err == nil) != good || good && key.ID != "001" || !good && !strings.Contains(err.Error(), keyEnv) {
			t.Errorf("%.12q: %v, %v", text, key, err)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "agent.keys")
	if err := os.WriteFile(keys, []byte(fixedKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	faulty := filepath.Join(dir, "faulty.keys")
	if err := os.WriteFile(faulty, []byte("\n0x1 a any\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"--keys", keys, "--state", filepath.Join(dir, "state"), "--manager", "mgr.example", "--file", "/var/log/a,b.log"}
	tests := []struct {
		name string
		args []string
		code int
		want []string // in the error or the output
	}{
		{"check", append([]string{"--check"}, good...), 0, []string{"no faults"}},
		{"all faults", []string{"--check", "--keys", faulty, "--state", keys, "--crypto", "des", "--dialect", "x", "--notify-time", "-1s", "--manager", "a:b", "stray"}, 2,
			[]string{"faulty.keys:2:", "not a directory", `"des"`, `"x"`, "-1s", `"a:b"`, `"stray"`, "file: nothing"}},
		{"no manager", []string{"--keys", keys, "--file", "/x"}, 2, []string{"manager: none"}},
		{"no key file", append(good, "--keys", filepath.Join(dir, "none")), 2, []string{"no such file", "keygen import"}},
		{"notify time over the silence", append(good, "--check", "--notify-time", "1m", "--time-reconnect", "1m"), 0, []string{"no faults"}},
		{"silence too short", append(good, "--time-reconnect", "100ms"), 2, []string{"notify-time", "time-reconnect"}},
		{"state in no directory", append(good, "--state", filepath.Join(keys, "state")), 1, []string{"state"}},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		app := &cli.App{
			Name: "ossecd", Version: "v1", Writer: &out, ErrWriter: &out, DisableSliceFlagSeparator: true,
			ExitErrHandler: func(*cli.Context, error) {}, Commands: []*cli.Command{Command()},
		}
		err := app.RunContext(t.Context(), append([]string{"ossecd", "agent"}, tt.args...))
		code, text := 0, out.String()
		if err != nil {
			code, text = 1, text+err.Error()
			var coded cli.ExitCoder
			if errors.As(err, &coded) {
				code = coded.ExitCode()
			}
		}
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d: %s", tt.name, code, tt.code, text)
		}
		for _, w := range tt.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in: %s", tt.name, w, text)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("--check made the state directory")
	}
}

// Every kind of source fits its events to what the channel takes in either dialect.
func TestTablesOfEachDialect(t *testing.T) {
	t.Parallel()
	for _, d := range []proto.Dialect{proto.OSSEC, proto.Wazuh} {
		c := Config{Keys: "k", State: "s", Managers: []string{"mgr"}, Dialect: d,
			Intake: Intake{Tables: settingtest.Tables(t, "source", `{"type":"command","command":["df"],"location":"`+strings.Repeat(":", 512)+`"}`)}}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}
