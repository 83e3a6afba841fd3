package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"testing"
)

// Each of the comments of the example can be made a setting.
func TestExampleConfig(t *testing.T) {
	var out, stderr bytes.Buffer
	if code := run(context.Background(), []string{"ossecd", "example-config"}, &out, &stderr); code != 0 {
		t.Fatalf("ended with %d: %s", code, &stderr)
	}
	known := make(sections)
	for _, c := range newApp(io.Discard, io.Discard).Commands {
		known[c.Name] = c.Flags
	}
	text := out.String()
	for name, text := range map[string]string{"as it stands": text, "with everything set": regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(text, "$1")} {
		found, _, err := parseConfig("ossecd.toml", text, known)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for command, least := range map[string]int{"agent": 20, "manager": 10} {
			if n := len(found[command]); name != "as it stands" && n < least {
				t.Errorf("%s: %d keys of %s", name, n, command)
			}
		}
		if len(found["manager"]["sink"].tables) == 0 {
			t.Errorf("%s: no sink", name)
		}
	}
}
