package httpbulk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/keys/setting/settingtest"
	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

var quiet = slog.New(slog.DiscardHandler)

// batch is events with these messages.
func batch(messages ...string) sink.Batch {
	var l sink.Lot
	a := sink.NewAgent("001", "web\"01", "any")
	for i, m := range messages {
		l.Event(a, time.Unix(1_700_000_000, 123_456_000), uint64(i+1), netip.MustParseAddrPort("192.0.2.7:40000"), '1', []byte("/var/log/a"), []byte(m))
	}
	return l.Events()
}

// write posts a batch to a server and gives what came there.
func write(t *testing.T, form string, events sink.Batch, serve func(w http.ResponseWriter, q *http.Request, body string)) (sink.Result, error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		serve(w, q, string(body))
	}))
	defer s.Close()
	o := Options{Options: webclient.Options{URL: s.URL + "/in?x=1", Timeout: time.Minute, Compression: "none"}, Form: form, Index: "logs", Origin: "ORIGIN"}
	to, err := New(o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	return to.Write(t.Context(), events)
}

func messagesOf(body string) (list []string) {
	for line := range strings.Lines(body) {
		var e struct {
			FullLog string `json:"full_log"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.FullLog != "" {
			list = append(list, e.FullLog)
		}
	}
	return list
}

func TestForms(t *testing.T) {
	t.Parallel()
	messages := []string{"first", "a \"quoted\" line\nof two", "third"}
	for _, form := range []string{"json-lines", "victorialogs", "elasticsearch", "loki"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			r, err := write(t, form, batch(messages...), func(w http.ResponseWriter, q *http.Request, body string) {
				if q.URL.Path != "/in" || q.URL.Query().Get("x") != "1" {
					t.Errorf("posted to %s", q.URL)
				}
				switch form {
				case "victorialogs":
					if q.URL.Query().Get("_msg_field") != "full_log" || q.URL.Query().Get("_time_field") != "timestamp" {
						t.Errorf("posted to %s", q.URL)
					}
					fallthrough
				case "json-lines":
					if got := messagesOf(body); !slices.Equal(got, messages) {
						t.Errorf("got %q", got)
					}
				case "elasticsearch":
					elasticsearch(t, w, body, messages)
				case "loki":
					loki(t, body, messages)
				}
			})
			if err != nil || r != (sink.Result{Done: 3}) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func elasticsearch(t *testing.T, w http.ResponseWriter, body string, messages []string) {
	lines := bufio.NewScanner(strings.NewReader(body))
	for i := 0; lines.Scan(); i++ {
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil || action.Create.Index != "logs" || !strings.HasPrefix(action.Create.ID, "ORIGIN-") {
			t.Errorf("action %q, %v", lines.Bytes(), err)
		}
		lines.Scan()
		var e struct {
			At      time.Time `json:"@timestamp"`
			FullLog string    `json:"full_log"`
			Agent   struct{ Name string }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.FullLog != messages[i] || e.At.UnixMicro() != 1_700_000_000_123_456 || e.Agent.Name != `web"01` {
			t.Errorf("document %q, %v", lines.Bytes(), err)
		}
	}
	io.WriteString(w, `{"took":1,"errors":false,"items":[]}`)
}

func loki(t *testing.T, body string, messages []string) {
	var push struct {
		Streams []struct {
			Stream map[string]string
			Values [][]string
		}
	}
	if err := json.Unmarshal([]byte(body), &push); err != nil || len(push.Streams) != len(messages) {
		t.Fatalf("%q: %v", body, err)
	}
	for i, s := range push.Streams {
		if s.Stream["job"] != "ossecd" || s.Stream["agent"] != `web"01` || len(s.Values) != 1 || s.Values[0][0] != "1700000000123456000" {
			t.Errorf("stream %+v", s)
		}
		if got := messagesOf(strings.ReplaceAll(s.Values[0][1], "\n", " ")); len(got) != 1 || got[0] != messages[i] {
			t.Errorf("line %q", s.Values[0][1])
		}
	}
}

// What the server says of a batch as a whole is done; what is refused as a whole is sent in halves until the bad event is alone.
func TestStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		status   func(body string) int
		want     sink.Result
		err      string
		requests int
	}{
		{"taken", func(string) int { return 204 }, sink.Result{Done: 4}, "", 1},
		{"one is bad", func(body string) int {
			if strings.Contains(body, "bad") {
				return 400
			}
			return 200
		}, sink.Result{Done: 4, Refused: 1}, "", 5},
		{"too large", func(body string) int {
			if strings.Count(body, "\n") > 1 {
				return 413
			}
			return 200
		}, sink.Result{Done: 4}, "", 7},
		{"busy", func(string) int { return 429 }, sink.Result{}, "status 429", 1},
		{"broken", func(string) int { return 500 }, sink.Result{}, "status 500", 1},
		{"no right", func(string) int { return 401 }, sink.Result{}, "check token_file", 1},
		{"no such place", func(string) int { return 404 }, sink.Result{}, "check the path in url", 1},
		{"breaks halfway", func(body string) int {
			switch {
			case strings.Count(body, "\n") > 2:
				return 413
			case strings.Contains(body, "bad"):
				return 503
			}
			return 200
		}, sink.Result{Done: 2}, "status 503", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			got, err := write(t, "json-lines", batch("a", "b", "bad", "d"), func(w http.ResponseWriter, _ *http.Request, body string) {
				requests++
				w.WriteHeader(tt.status(body))
			})
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) || requests != tt.requests {
				t.Errorf("got %+v, %v after %d requests", got, err, requests)
			}
		})
	}
}

// Elasticsearch answers for each event.
func TestBulkAnswers(t *testing.T) {
	t.Parallel()
	item := func(status int) string {
		return fmt.Sprintf(`{"create":{"status":%d,"error":{"type":"t","reason":"r"}}}`, status)
	}
	for name, tt := range map[string]struct {
		answer string
		want   sink.Result
		fails  bool
	}{
		"all":                 {`{"errors":false}`, sink.Result{Done: 3}, false},
		"there already":       {`{"errors":true,"items":[` + item(201) + "," + item(409) + "," + item(201) + `]}`, sink.Result{Done: 3}, false},
		"one is bad":          {`{"errors":true,"items":[` + item(201) + "," + item(400) + "," + item(201) + `]}`, sink.Result{Done: 3, Refused: 1}, false},
		"one is for later":    {`{"errors":true,"items":[` + item(201) + "," + item(429) + "," + item(201) + `]}`, sink.Result{Done: 1}, true},
		"too few":             {`{"errors":true,"items":[` + item(201) + `]}`, sink.Result{}, true},
		"another server":      {`<html>`, sink.Result{}, true},
		"errors and no items": {`{"errors":true}`, sink.Result{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := write(t, "elasticsearch", batch("a", "b", "c"), func(w http.ResponseWriter, _ *http.Request, _ string) { io.WriteString(w, tt.answer) })
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"url":"http://x"}`: "", `{"url":"http://x","form":"loki","compression":"none"}`: "", `{"url":"http://x","form":"elasticsearch","index":"logs"}`: "",
		`{"url":"http://x","form":"lok"}`: `form: "lok" is unknown; did you mean "loki"`, `{"url":"http://x","form":"elasticsearch"}`: "index: goes with",
		`{"url":"http://x","index":"logs"}`: "index: goes with", `{"url":"http://x","compression":"br"}`: "compression: ",
	} {
		table := settingtest.Table(t, "sink[1]", text)
		Read(table)
		if err := table.End(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
