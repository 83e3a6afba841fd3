package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every metric has its row in docs/monitoring.md, and the page and the alert rules name none that there is not.
func TestMetricsOfDocs(t *testing.T) {
	t.Parallel()
	quoted, name := regexp.MustCompile(`"(ossecd_(?:build|manager|agent)_[a-z_]+)"`), regexp.MustCompile(`\bossecd_(?:build|manager|agent)_[a-z_]+`)
	there := map[string]bool{}
	for _, dir := range []string{"keys/metrics", "manager/control", "agent", "agent/status"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
				there[m[1]] = true
			}
		}
	}
	if len(there) < 12 {
		t.Fatalf("found %d metrics", len(there))
	}
	page, err := os.ReadFile("docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("docs/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range name.FindAllString(string(page)+string(rules), -1) {
		if !there[found] {
			t.Errorf("there is no %s", found)
		}
	}
	for metric := range there {
		if !strings.Contains(string(page), "| `"+metric+"` |") {
			t.Errorf("%s has no row", metric)
		}
	}
}
