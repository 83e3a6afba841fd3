package command

import (
	"context"
	"time"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

const (
	runWithin     = 10 * time.Second // of one run, unless told otherwise
	mostRunWithin = 5 * time.Minute
	mostAtOnce    = 32
)

// FromTable reads a table of type "command".
func FromTable(t *setting.Table, spec *sink.Spec) {
	spec.AlertsOnly()
	o := Options{
		Argv: t.Strings("command"), Timeout: t.Duration("timeout", runWithin, time.Second, mostRunWithin),
		AtOnce: t.Int("at_once", 4, 1, mostAtOnce),
	}
	if len(o.Argv) == 0 {
		t.Fault("command", `missing; give program and arguments, as in command = ["/usr/local/bin/page", "ops"]`)
	}
	spec.Open = func(_ context.Context, env sink.Env) (sink.Sink, error) { return New(o, env.Log), nil }
}
