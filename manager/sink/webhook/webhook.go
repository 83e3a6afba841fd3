// Package webhook posts events to a web server, each as a JSON object. It is meant for the few that somebody should act on.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
)

// Options are the keys of the table.
type Options struct {
	URL     string
	Timeout time.Duration // of one request
	Token   string        // for "Authorization: Bearer", empty for none
}

// maxAnswer is how many bytes of an answer are read, so that its connection can be used again.
const maxAnswer = 64 << 10

// CheckURL says what is wrong with an address.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("is not the address of a web server; write it as \"https://alerts.example.com/hook\", with no password in it (token_file)")
	}
	return nil
}

// Webhook is the sink.
type Webhook struct {
	o       Options
	client  *http.Client
	json    sink.JSON
	body    []byte
	limited *limitlog.Logger
}

// New makes the sink. It connects when there is something to write.
func New(o Options, log *slog.Logger) *Webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxAnswer
	return &Webhook{o: o, limited: limitlog.New(log), client: &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a POST that is redirected is another request, or none
	}}}
}

// Write posts events one after the other. One that the server says it will never take (4xx but 408 and 429) is refused.
func (w *Webhook) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	var e sink.Event
	for events.Next(&e) {
		w.body = w.json.Append(w.body[:0], &e)
		status, err := w.post(ctx)
		switch {
		case err != nil:
			return r, err
		case status >= 200 && status < 300:
		case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
			r.Refused++
			w.refused(status, &e)
		default:
			return r, fmt.Errorf("the web server answered with status %d", status)
		}
		r.Done++
	}
	return r, nil
}

func (w *Webhook) post(ctx context.Context) (status int, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.URL, bytes.NewReader(bytes.TrimSuffix(w.body, []byte{'\n'})))
	if err != nil {
		return 0, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "ossecd")
	if w.o.Token != "" {
		q.Header.Set("Authorization", "Bearer "+w.o.Token)
	}
	answer, err := w.client.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address may have secrets in it
		}
		return 0, err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	return answer.StatusCode, nil
}

func (w *Webhook) refused(status int, e *sink.Event) {
	w.limited.Error("a web server refused an alert; it is not sent again", "status", status, "action", string(e.Action), "agent", string(e.ID),
		"remedy", "check url and token_file, and the server's own log")
}

// Close ends it.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
