package control

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"ossecd/manager/order"
)

// docs/api.md names each request and each member of the answers, and no other request.
func TestAPIIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	served := regexp.MustCompile(`HandleFunc\("((?:GET|POST) /[^"]+)"`).FindAllSubmatch(source, -1)
	if len(served) == 0 {
		t.Fatal("no request is served")
	}
	for _, s := range served {
		if !strings.Contains(string(page), "| `"+string(s[1])+"` |") {
			t.Errorf("%s is not in docs/api.md", s[1])
		}
	}
	if n := strings.Count(string(page), "| `GET /") + strings.Count(string(page), "| `POST /"); n != len(served) {
		t.Errorf("docs/api.md has %d requests, and %d are served", n, len(served))
	}
	for _, v := range []any{Status{}, AgentCounts{}, SinkStatus{}, JournalStatus{}, EnrollStatus{}, AgentDetail{}, Agent{}, Refusal{}, OrderRequest{}, OrderAnswer{}, order.Told{}} {
		of := reflect.TypeOf(v)
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name != "" && !regexp.MustCompile("[`\" ]"+name+"[`\":]").Match(page) {
				t.Errorf("%s of %s is not in docs/api.md", name, of)
			}
		}
	}
}
