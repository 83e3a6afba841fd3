package webhook

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

var quiet = slog.New(slog.DiscardHandler)

func reports(n int) sink.Batch {
	var l sink.Lot
	for range n {
		l.Report(nil, nil, time.Now(), "ossecd: many.", sink.Report{Action: sink.ManyGone, Number: 11, Details: `"of":12`})
	}
	return l.Events()
}

func must(t *testing.T, o webclient.Options) *Webhook {
	t.Helper()
	w, err := New(o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhatAWebServerAnswers(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		answers []int
		want    sink.Result
		failed  bool
	}{
		{"taken", []int{200, 204}, sink.Result{Done: 2}, false},
		{"refused", []int{400, 200}, sink.Result{Done: 2, Refused: 1}, false},
		{"broken", []int{200, 503}, sink.Result{Done: 1}, true},
		{"too many", []int{429}, sink.Result{}, true},
		{"redirected", []int{302}, sink.Result{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				var e struct {
					Event struct {
						Action    string
						Count, Of int
					}
				}
				body, _ := io.ReadAll(q.Body)
				if err := json.Unmarshal(body, &e); err != nil || e.Event.Action != sink.ManyGone || e.Event.Count != 11 || e.Event.Of != 12 {
					t.Errorf("posted %q, %v", body, err)
				}
				if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" || q.Header.Get("Authorization") != "Bearer secret" {
					t.Errorf("%s with %v", q.Method, q.Header)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.answers[asked])
				asked++
			}))
			defer s.Close()
			w := must(t, webclient.Options{URL: s.URL, Timeout: time.Minute, TokenFile: token, TokenType: "Bearer"})
			defer w.Close()
			got, err := w.Write(t.Context(), reports(len(tt.answers)))
			if got != tt.want || (err != nil) != tt.failed {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A server that says nothing is waited for no longer than the time-out, nor beyond the end.
func TestASilentWebServer(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer s.Close()
	defer close(end)
	w := must(t, webclient.Options{URL: s.URL, Timeout: 10 * time.Millisecond})
	defer w.Close()
	if r, err := w.Write(t.Context(), reports(1)); err == nil || r.Done != 0 {
		t.Errorf("a time-out: %+v, %v", r, err)
	}
	w = must(t, webclient.Options{URL: s.URL, Timeout: time.Hour})
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if r, err := w.Write(ctx, reports(1)); err == nil || r.Done != 0 {
		t.Errorf("the end: %+v, %v", r, err)
	}
}
