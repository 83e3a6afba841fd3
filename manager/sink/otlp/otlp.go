// Package otlp posts events as OpenTelemetry logs, over HTTP in protobuf (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP").
package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

// WriteSize is about how many bytes of events one request should have.
const WriteSize = 1 << 20

// Read reads the keys of a table of type "otlp".
func Read(t *setting.Table) webclient.Options {
	o := webclient.Read(t, 30*time.Second)
	o.Compression = t.Word("compression", "gzip", "none")
	return o
}

// Sink is the sink.
type Sink struct {
	client *webclient.Client
	limits *limitlog.Logger
	body   []byte
}

// FromTable reads a table of type "otlp".
func FromTable(t *setting.Table, spec *sink.Spec) {
	o := Read(t)
	spec.Write = WriteSize
	spec.Open = func(_ context.Context, env sink.Env) (sink.Sink, error) { return New(o, env.Log) }
}

// New makes the sink. It connects when there is something to write.
func New(o webclient.Options, log *slog.Logger) (*Sink, error) {
	client, err := webclient.New(o)
	return &Sink{client: client, limits: limitlog.New(log)}, err
}

// Write posts a batch. The server may take a part of it (partial success), without saying which: the rest is refused for good.
func (s *Sink) Write(ctx context.Context, events sink.Batch) (sink.Result, error) {
	body, n := appendExport(s.body[:0], events)
	s.body = body
	if n == 0 {
		return sink.Result{}, nil
	}
	status, answer, err := s.client.Post(ctx, "application/x-protobuf", body)
	if err != nil {
		return sink.Result{}, err
	}
	remedy, mendable := webclient.Remedy(status)
	switch verdict := webclient.Judge(status); {
	case mendable:
		return sink.Result{}, fmt.Errorf("the server answered with status %d; %s", status, remedy)
	case verdict == webclient.Later:
		return sink.Result{}, fmt.Errorf("the server answered with status %d", status)
	case verdict == webclient.Refused && n > 1:
		return sink.InHalves(ctx, s, events, n)
	case verdict == webclient.Refused:
		s.refused("status", fmt.Sprint(status), webclient.Sample(answer))
		return sink.Result{Done: 1, Refused: 1}, nil
	}
	r := sink.Result{Done: n}
	if rejected, message := partialSuccess(answer); rejected > 0 {
		r.Refused = int(min(rejected, uint64(n)))
		s.refused("answer", "partial success", webclient.Sample(message))
	}
	return r, nil
}

func (s *Sink) refused(key, value, answer string) {
	s.limits.Error("a server refused events; they are not sent again", key, value, "text", answer,
		"remedy", "look at the answer; check url, and the server's own log and limits")
}

// Close ends it.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
