package main

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// The man page has every command and every flag that a help shows, and nothing that roff takes for a request by mistake.
func TestMan(t *testing.T) {
	var page, stderr bytes.Buffer
	if code := run(context.Background(), []string{"ossecd", "man"}, &page, &stderr); code != 0 {
		t.Fatalf("ended with %d: %s", code, &stderr)
	}
	text := page.String()
	for _, c := range newApp(io.Discard, io.Discard).VisibleCommands() {
		if !strings.Contains(text, ".SS ossecd "+roff(c.Name)) {
			t.Errorf("%s is missing", c.Name)
		}
		for _, f := range c.VisibleFlags() {
			if !strings.Contains(text, ".B "+roff("--"+f.Names()[0])) {
				t.Errorf("--%s of %s is missing", f.Names()[0], c.Name)
			}
		}
	}
	for line := range strings.Lines(text) {
		if request, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, "'") ||
			strings.HasPrefix(line, ".") && !strings.Contains(" .TH .SH .SS .B .I .RI .TP .PP .EX .EE ", " "+request+" ") {
			t.Errorf("a request: %s", line)
		}
	}
	for _, r := range text {
		if r > '~' {
			t.Errorf("%q is not in ASCII", r)
		}
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	if got, want := roff(".a -b\n'c \\d é"), `\&.a \-b`+"\n"+`\&'c \ed \[u00E9]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The shells take their scripts.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script, stderr bytes.Buffer
		if code := run(context.Background(), []string{"ossecd", "completion", shell}, &script, &stderr); code != 0 || script.Len() == 0 {
			t.Fatalf("%s: ended with %d: %s", shell, code, &stderr)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // the scripts are written here all the same
		}
		check := exec.Command(path, "-n")
		check.Stdin = &script
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
}

// The help of every command shows how to use it.
func TestHelpHasExamples(t *testing.T) {
	var look func(path string, all []*cli.Command)
	look = func(path string, all []*cli.Command) {
		for _, c := range all {
			if c.Hidden || c.Name == "help" || path == "ossecd completion" {
				continue
			}
			if name := path + " " + c.Name; !strings.Contains(c.Description, "Example") || !strings.Contains(c.Description, "   "+name) {
				t.Errorf("the help of %s has no example", name)
			}
			look(path+" "+c.Name, c.Subcommands)
		}
	}
	look("ossecd", newApp(io.Discard, io.Discard).Commands)
}
