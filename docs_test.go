package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// Every message that docs/troubleshooting.md explains is one that the program has.
func TestMessagesOfTroubleshooting(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	known := 0
	for line := range strings.Lines(string(page)) {
		row, isRow := strings.CutPrefix(line, "| `")
		cell, _, more := strings.Cut(row, " |")
		if !isRow || !more || strings.Contains(cell, "…") || cell == "reason` at the manager" || cell == "reason`" || cell == "connection refused`" {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch("`"+cell, -1) {
			if known++; !strings.Contains(source.String(), m[1]) {
				t.Errorf("no Go file has %q", m[1])
			}
		}
	}
	if known < 80 {
		t.Errorf("found %d messages in the page", known)
	}
}

// Links between the pages lead somewhere, headings included.
func TestLinksOfDocs(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob("docs/*/*.md")
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	top, _ := filepath.Glob("*.md")
	for _, page := range append(append(pages, more...), top...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			there, err := os.Stat(to)
			if err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[0])
				continue
			}
			if m[2] != "" && !there.IsDir() && !headings(t, to)[m[2]] {
				t.Errorf("%s: %s: %s has no such heading", page, m[0], to)
			}
		}
	}
}

// headings are the anchors of a page.
func headings(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			title = regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all["#"+strings.ReplaceAll(title, " ", "-")] = true
		}
	}
	return all
}

// What the pages show of a configuration file is one that --check finds in order, but for files that this host lacks.
func TestConfigurationOfDocs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the pages have sources that only some systems have")
	}
	dir := t.TempDir()
	keys := filepath.Join(dir, "client.keys")
	if err := os.WriteFile(keys, []byte("001 web01 any 5f1d4b3a9c7e2f80a1b2c3d4e5f60718\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	lacks := regexp.MustCompile(`only Windows has|no such file|nothing to follow`)
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range indented(string(text)) {
			for _, role := range []string{"manager", "agent"} {
				if !regexp.MustCompile(`(?m)^\[+` + role + `\b`).MatchString(block) {
					continue
				}
				checked++
				file := filepath.Join(dir, "ossecd.toml")
				if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
					t.Fatal(err)
				}
				line := []string{"ossecd", role, "--check", "--config", file, "--keys", keys, "--state", filepath.Join(dir, "state")}
				if role == "agent" && !strings.Contains(block, "manager =") {
					line = append(line, "--manager", "192.0.2.1")
				}
				var stdout, stderr bytes.Buffer
				run(context.Background(), line, &stdout, &stderr)
				for fault := range strings.Lines(stderr.String()) {
					if !lacks.MatchString(fault) {
						t.Errorf("%s: %s%s", page, fault, block)
					}
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("found %d configurations", checked)
	}
}

// indented are the blocks of a page that stand four blanks to the right.
func indented(page string) (blocks []string) {
	var block strings.Builder
	for line := range strings.Lines(page + "\n") {
		rest, isCode := strings.CutPrefix(line, "    ")
		switch {
		case isCode:
			block.WriteString(rest)
		case strings.TrimSpace(line) == "" && block.Len() > 0:
			block.WriteString("\n")
		case block.Len() > 0:
			blocks = append(blocks, block.String())
			block.Reset()
		}
	}
	return append(blocks, block.String())
}

// docs/design.md has a row for each package, and names none that is gone. Files that the pages name are there.
func TestRoomsOfDesign(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasPrefix(path, "testdata") {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir != "." && !strings.Contains(string(page), "`"+dir+"/`") && !strings.Contains(string(page), ", `"+filepath.Base(dir)+"/`") && !strings.HasSuffix(dir, "test") {
			t.Errorf("%s/ has no row; say there what it holds", dir)
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := filepath.Glob("docs/*.md")
	more, _ := filepath.Glob("docs/*/*.md")
	named := regexp.MustCompile("`((?:agent|manager|keys|proto|testdata)/[a-z_/]*(?:/|\\.go))`")
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}
