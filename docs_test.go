package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
	for _, page := range append(append(pages, more...), "README.md") {
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
