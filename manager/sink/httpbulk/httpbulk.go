// Package httpbulk posts events to web servers, many at once: as JSON lines, or in the forms of Elasticsearch and OpenSearch, Loki, and
// VictoriaLogs.
package httpbulk

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

// Options are the keys of the table.
type Options struct {
	webclient.Options
	Form   string
	Index  string // of Elasticsearch
	Origin string // names the manager in the IDs of events
}

// WriteSize is about how many bytes of events one request should have.
const WriteSize = 1 << 20

// Read reads the keys of a table of type "http".
func Read(t *setting.Table) Options {
	o := Options{Options: webclient.Read(t, 30*time.Second), Form: t.String("form", "json-lines"), Index: t.String("index", "")}
	o.Compression = t.Word("compression", "gzip", "zstd", "none")
	known := slices.Sorted(maps.Keys(forms))
	if !slices.Contains(known, o.Form) {
		t.Fault("form", "%.40q is unknown; %s", o.Form, setting.Instead(o.Form, known, `"`, `"`))
	}
	if (o.Form == "elasticsearch") != (o.Index != "") {
		t.Fault("index", `goes with form = "elasticsearch", which needs it; name an index or a data stream, as in index = "logs-ossecd"`)
	}
	return o
}

// Sink is the sink.
type Sink struct {
	o      Options
	form   form
	client *webclient.Client
	json   sink.JSON
	limits *limitlog.Logger
	body   []byte
	line   []byte
}

// FromTable reads a table of type "http".
func FromTable(t *setting.Table, spec *sink.Spec) {
	o := Read(t)
	spec.Write = WriteSize
	spec.Open = func(_ context.Context, env sink.Env) (_ sink.Sink, err error) {
		if o.Origin, err = env.Origin(spec.Name); err != nil {
			return nil, err
		}
		return New(o, env.Log)
	}
}

// New makes the sink. It connects when there is something to write.
func New(o Options, log *slog.Logger) (*Sink, error) {
	s := &Sink{o: o, form: forms[o.Form], limits: limitlog.New(log)}
	var err error
	if s.o.URL, err = s.form.address(o.URL); err != nil {
		return nil, err
	}
	if s.client, err = webclient.New(s.o.Options); err != nil {
		return nil, err
	}
	return s, nil
}

// Write posts a batch. What the server refuses for good is refused; a batch that it refuses as a whole is sent again in halves, so that
// one bad event costs no other.
func (s *Sink) Write(ctx context.Context, events sink.Batch) (sink.Result, error) {
	var e sink.Event
	n := 0
	s.body = s.body[:0]
	for rest := events; rest.Next(&e); n++ {
		s.body = s.form.append(s, s.body, &e)
	}
	if n == 0 {
		return sink.Result{}, nil
	}
	if s.form.finish != nil {
		s.body = s.form.finish(s.body)
	}
	status, answer, err := s.client.Post(ctx, s.form.contentType, s.body)
	if err != nil {
		return sink.Result{}, err
	}
	remedy, mendable := webclient.Remedy(status)
	switch verdict := webclient.Judge(status); {
	case mendable:
		return sink.Result{}, fmt.Errorf("the server answered with status %d: %s; %s", status, webclient.Sample(answer), remedy)
	case verdict == webclient.Taken && s.form.answers != nil:
		return s.each(answer, n)
	case verdict == webclient.Taken:
		return sink.Result{Done: n}, nil
	case verdict == webclient.Later:
		return sink.Result{}, fmt.Errorf("the server answered with status %d: %s", status, webclient.Sample(answer))
	case n == 1:
		s.refused(fmt.Sprint(status), webclient.Sample(answer))
		return sink.Result{Done: 1, Refused: 1}, nil
	}
	return sink.InHalves(ctx, s, events, n)
}

// each goes by what the server says of each event. What stands behind the first one that is for later is sent again with it; the server
// knows by the ID what it has.
func (s *Sink) each(answer []byte, n int) (r sink.Result, err error) {
	verdicts, err := s.form.answers(answer, n)
	if err != nil {
		return r, err
	}
	for _, v := range verdicts {
		switch v.Verdict {
		case webclient.Later:
			return r, fmt.Errorf("the server does not take an event now: %.200s", v.text)
		case webclient.Refused:
			r.Refused++
			s.refused("in the answer", v.text)
		}
		r.Done++
	}
	return r, nil
}

func (s *Sink) refused(status, answer string) {
	s.limits.Error("a server refused events; they are not sent again", "status", status, "answer", fmt.Sprintf("%.200s", answer),
		"remedy", "look at the answer; check url and form, and the server's own log and limits")
}

// Close ends it.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
