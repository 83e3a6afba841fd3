package otlp

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

var quiet = slog.New(slog.DiscardHandler)

func batch() sink.Batch {
	var l sink.Lot
	one, two := sink.NewAgent("001", "web01", "any"), sink.NewAgent("002", "web02", "any")
	from := netip.MustParseAddrPort("192.0.2.7:40000")
	at := time.Unix(1_700_000_000, 5)
	l.Event(one, at, 1, from, '1', []byte("/var/log/a"), []byte("first"))
	l.Event(one, at, 2, from, '1', []byte("/var/log/a"), []byte("no UTF-8: \xff"))
	l.Event(two, at, 1, from, '8', []byte("/var/log/b"), []byte("bad"))
	l.Report(nil, nil, at, "ossecd: many.", sink.Report{Action: sink.ManyGone})
	return l.Events()
}

func write(t *testing.T, serve func(w http.ResponseWriter, q *http.Request, in *collector.ExportLogsServiceRequest)) (sink.Result, error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var in collector.ExportLogsServiceRequest
		if err != nil || proto.Unmarshal(body, &in) != nil {
			t.Errorf("got %q, %v", body, err)
		}
		serve(w, q, &in)
	}))
	defer s.Close()
	to, err := New(webclient.Options{URL: s.URL + "/v1/logs", Timeout: time.Minute}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	return to.Write(t.Context(), batch())
}

func TestRecords(t *testing.T) {
	t.Parallel()
	r, err := write(t, func(w http.ResponseWriter, q *http.Request, in *collector.ExportLogsServiceRequest) {
		if q.URL.Path != "/v1/logs" || q.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("posted to %s as %v", q.URL, q.Header)
		}
		if len(in.ResourceLogs) != 3 {
			t.Fatalf("%d resources: %v", len(in.ResourceLogs), in)
		}
		first := in.ResourceLogs[0]
		records := first.ScopeLogs[0].LogRecords
		if len(records) != 2 || records[0].Body.GetStringValue() != "first" || string(records[1].Body.GetBytesValue()) != "no UTF-8: \xff" || records[0].TimeUnixNano != 1_700_000_000_000_000_005 {
			t.Errorf("records %v", records)
		}
		for _, want := range []string{"host.name", "web01", "ossec.agent.id", "001", "service.name"} {
			if !strings.Contains(first.Resource.String(), want) {
				t.Errorf("%s is not in %v", want, first.Resource)
			}
		}
		for _, want := range []string{"ossec.location", "/var/log/a", "ossec.source", "192.0.2.7:40000"} {
			if !strings.Contains(records[0].String(), want) {
				t.Errorf("%s is not in %v", want, records[0])
			}
		}
		if report := in.ResourceLogs[2].ScopeLogs[0].LogRecords[0].String(); !strings.Contains(report, sink.ManyGone) {
			t.Errorf("report %s", report)
		}
	})
	if err != nil || r != (sink.Result{Done: 4}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, in *collector.ExportLogsServiceRequest)
		want   sink.Result
		fails  bool
	}{
		"partly": {func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) {
			b, _ := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: 3, ErrorMessage: "too old"}})
			w.Write(b)
		}, sink.Result{Done: 4, Refused: 3}, false},
		"a warning": {func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) {
			b, _ := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{ErrorMessage: "slow down"}})
			w.Write(b)
		}, sink.Result{Done: 4}, false},
		"one is bad": {func(w http.ResponseWriter, in *collector.ExportLogsServiceRequest) {
			if strings.Contains(in.String(), `"bad"`) {
				w.WriteHeader(400)
			}
		}, sink.Result{Done: 4, Refused: 1}, false},
		"busy":     {func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) { w.WriteHeader(503) }, sink.Result{}, true},
		"no right": {func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) { w.WriteHeader(401) }, sink.Result{}, true},
		"JSON":     {func(w http.ResponseWriter, _ *collector.ExportLogsServiceRequest) { io.WriteString(w, "{}") }, sink.Result{Done: 4}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := write(t, func(w http.ResponseWriter, _ *http.Request, in *collector.ExportLogsServiceRequest) { tt.answer(w, in) })
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func FuzzPartialSuccess(f *testing.F) {
	for _, m := range []*collector.ExportLogsServiceResponse{{}, {PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: 3, ErrorMessage: "too old"}}} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		rejected, message := partialSuccess(answer)
		var want collector.ExportLogsServiceResponse
		if proto.Unmarshal(answer, &want) == nil && len(want.ProtoReflect().GetUnknown()) == 0 && strings.Count(string(answer), "\n") == 1 {
			if p := want.GetPartialSuccess(); p.GetRejectedLogRecords() >= 0 && (rejected != uint64(p.GetRejectedLogRecords()) || string(message) != p.GetErrorMessage()) {
				t.Errorf("%x: got %d, %q, want %v", answer, rejected, message, p)
			}
		}
	})
}
