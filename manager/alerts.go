package manager

import (
	"context"
	"log/slog"
	"time"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/command"
	"ossecd/manager/sink/httpbulk"
	"ossecd/manager/sink/otlp"
	"ossecd/manager/sink/webclient"
	"ossecd/manager/sink/webhook"
)

const (
	alertWithin     = 10 * time.Second // of one request or run, unless told otherwise
	mostAlertWithin = 5 * time.Minute
	mostAtOnce      = 32
)

// alertsAlone has a sink be for reports that somebody should see, unless its table names others.
func alertsAlone(spec *sink.Spec) { spec.Filter.Alerts = len(spec.Filter.Actions) == 0 }

func webhookSink(_ *Config, t *setting.Table, p *plan) opener {
	alertsAlone(&p.spec)
	o := webclient.Read(t, alertWithin)
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) { return webhook.New(o, log) }
}

// httpSink posts events to a server that keeps logs.
func httpSink(c *Config, t *setting.Table, p *plan) opener {
	o := httpbulk.Read(t)
	p.spec.Write = httpbulk.WriteSize
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) {
		id, err := managerID(c.State)
		if err != nil {
			return nil, err
		}
		o.Origin = origin(id, p.spec.Name)
		return httpbulk.New(o, log)
	}
}

// otlpSink posts events to an OpenTelemetry collector.
func otlpSink(_ *Config, t *setting.Table, p *plan) opener {
	o := otlp.Read(t)
	p.spec.Write = otlp.WriteSize
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) { return otlp.New(o, log) }
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
