package httpbulk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

// form is how a kind of server takes events.
type form struct {
	contentType string
	// query is added to the URL, but for what stands there already.
	query map[string]string
	// append appends an event to the body.
	append func(s *Sink, b []byte, e *sink.Event) []byte
	// finish completes the body, where that is needed.
	finish func(b []byte) []byte
	// answers reads what the server says of each event; nil where the status speaks of all of them.
	answers func(answer []byte, events int) ([]verdict, error)
}

// verdict is what a server says of one event.
type verdict struct {
	webclient.Verdict
	text string // why it is not taken
}

// Forms by the name that the configuration has for them.
var forms = map[string]form{
	"json-lines": {contentType: "application/x-ndjson", append: (*Sink).jsonLine},
	// https://docs.victoriametrics.com/victorialogs/data-ingestion/#json-stream-api
	"victorialogs": {
		contentType: "application/stream+json", append: (*Sink).jsonLine,
		query: map[string]string{"_time_field": "timestamp", "_msg_field": "full_log", "_stream_fields": "agent.name"},
	},
	// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk, and the same for OpenSearch
	"elasticsearch": {contentType: "application/x-ndjson", append: (*Sink).elasticsearch, answers: bulkAnswers},
	// https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
	"loki": {contentType: "application/json", append: (*Sink).loki, finish: finishLoki},
}

func (s *Sink) jsonLine(b []byte, e *sink.Event) []byte { return s.json.Append(b, e) }

// elasticsearch writes an action and the event. Its ID is the same whenever it is sent, so that an event that the server
// has already is a conflict and no second document. "create" is all that a data stream takes.
func (s *Sink) elasticsearch(b []byte, e *sink.Event) []byte {
	b = append(b, `{"create":{"_index":`...)
	b = sink.AppendString(b, []byte(s.o.Index))
	b = append(b, `,"_id":"`...)
	b = append(b, s.o.Origin...)
	b = append(b, '-')
	b = e.AppendIdentity(b)
	b = append(b, `"}}`+"\n"+`{"@timestamp":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `",`...)
	line := len(b)
	b = s.json.Append(b, e)
	copy(b[line:], b[line+1:]) // without the brace with which it begins
	return b[:len(b)-1]
}

// bulkAnswers reads the answer of a bulk request, which has one item for each action.
func bulkAnswers(answer []byte, events int) ([]verdict, error) {
	var a struct {
		Errors bool
		Items  []map[string]struct {
			Status int
			Error  struct{ Type, Reason string }
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("the answer is none of a bulk request: %w; does url end with /_bulk?", err)
	}
	if !a.Errors {
		return make([]verdict, events), nil
	}
	if len(a.Items) != events {
		return nil, fmt.Errorf("the answer is about %d events, but %d were sent", len(a.Items), events)
	}
	list := make([]verdict, events)
	for i, item := range a.Items {
		for _, r := range item {
			list[i] = verdict{webclient.Judge(r.Status), r.Error.Type + ": " + r.Error.Reason}
			if r.Status == http.StatusConflict { // it has it already
				list[i].Verdict = webclient.Taken
			}
		}
	}
	return list, nil
}

// loki writes a stream with one value. The labels are few, as Loki wants them; all else is in the line.
func (s *Sink) loki(b []byte, e *sink.Event) []byte {
	if len(b) == 0 {
		b = append(b, `{"streams":[`...)
	} else {
		b = append(b, ',')
	}
	b = append(b, `{"stream":{"job":"ossecd"`...)
	if len(e.Name) > 0 {
		b = sink.Member(b, "agent", string(e.Name))
	}
	b = append(b, `},"values":[["`...)
	b = strconv.AppendInt(b, e.Time.UnixNano(), 10)
	b = append(b, `",`...)
	s.line = s.json.Append(s.line[:0], e)
	b = sink.AppendString(b, s.line[:len(s.line)-1])
	return append(b, `]]}`...)
}

func finishLoki(b []byte) []byte { return append(b, `]}`...) }

// address is the URL with what the form adds to it.
func (f *form) address(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	q := u.Query()
	for name, value := range f.query {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
