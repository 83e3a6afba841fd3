package manager

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/command"
	"ossecd/manager/sink/webhook"
)

const (
	alertWithin     = 10 * time.Second // of one request or run, unless told otherwise
	mostAlertWithin = 5 * time.Minute
	mostAtOnce      = 32
	maxToken        = 4 << 10 // bytes
)

// alertsAlone has a sink be for reports that somebody should see, unless its table names others.
func alertsAlone(spec *sink.Spec) { spec.Filter.Alerts = len(spec.Filter.Actions) == 0 }

func webhookSink(_ *Config, t *setting.Table, p *plan) opener {
	alertsAlone(&p.spec)
	o := webhook.Options{URL: t.String("url", ""), Timeout: t.Duration("timeout", alertWithin, time.Second, mostAlertWithin)}
	tokenFile := t.String("token_file", "")
	if err := webhook.CheckURL(o.URL); err != nil {
		t.Fault("url", "%w", err)
	}
	return func(_ context.Context, log *slog.Logger) (_ sink.Sink, err error) {
		if tokenFile != "" {
			if o.Token, err = readToken(tokenFile); err != nil {
				return nil, err
			}
		}
		return webhook.New(o, log), nil
	}
}

// readToken reads the first line of a file.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token_file: %w; make it readable for this user", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	line = bytes.TrimSpace(line)
	if len(line) == 0 || len(text) > maxToken || bytes.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("token_file: %s has no token of printable characters in its first line; write it there", path)
	}
	return string(line), nil
}

func commandSink(_ *Config, t *setting.Table, p *plan) opener {
	alertsAlone(&p.spec)
	o := command.Options{
		Argv: t.Strings("command"), Timeout: t.Duration("timeout", alertWithin, time.Second, mostAlertWithin),
		AtOnce: t.Int("at_once", 4, 1, mostAtOnce),
	}
	if len(o.Argv) == 0 {
		t.Fault("command", `missing; give program and arguments, as in command = ["/usr/local/bin/page", "ops"]`)
	}
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) { return command.New(o, log), nil }
}
