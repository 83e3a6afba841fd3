// Package webhook posts events to a web server, each as a JSON object. It is meant for the few that somebody should act on.
package webhook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/webclient"
)

// Webhook is the sink.
type Webhook struct {
	client  *webclient.Client
	json    sink.JSON
	body    []byte
	limited *limitlog.Logger
}

// FromTable reads a table of type "webhook".
func FromTable(t *setting.Table, spec *sink.Spec) {
	spec.AlertsOnly()
	o := webclient.Read(t, 10*time.Second)
	spec.Open = func(_ context.Context, env sink.Env) (sink.Sink, error) { return New(o, env.Log) }
}

// New makes the sink. It connects when there is something to write.
func New(o webclient.Options, log *slog.Logger) (*Webhook, error) {
	client, err := webclient.New(o)
	return &Webhook{client: client, limited: limitlog.New(log)}, err
}

// Write posts events one after the other. One that the server says it will never take is refused.
func (w *Webhook) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	var e sink.Event
	for events.Next(&e) {
		w.body = w.json.Append(w.body[:0], &e)
		status, _, err := w.client.Post(ctx, "application/json", bytes.TrimSuffix(w.body, []byte{'\n'}))
		switch verdict := webclient.Judge(status); {
		case err != nil:
			return r, err
		case verdict == webclient.Refused:
			r.Refused++
			w.refused(status, &e)
		case verdict == webclient.Later:
			return r, fmt.Errorf("the web server answered with status %d", status)
		}
		r.Done++
	}
	return r, nil
}

func (w *Webhook) refused(status int, e *sink.Event) {
	w.limited.Error("a web server refused an alert; it is not sent again", "status", status, "action", string(e.Action), "agent", string(e.ID),
		"remedy", "check url and token_file, and the server's own log")
}

// Close ends it.
func (w *Webhook) Close() error {
	w.client.Close()
	return nil
}
