package ossecqueue

import (
	"context"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

// FromTable reads a table of type "ossec-queue". It leaves out who comes, since agents themselves tell that they have started; and who goes,
// which the stock monitor daemon tells where it has files to tell it by, unless that is asked for.
func FromTable(t *setting.Table, spec *sink.Spec) {
	path := t.String("path", DefaultPath)
	spec.Filter.Without = []string{sink.Connected}
	if !t.Bool("disconnects") {
		spec.Filter.Without = append(spec.Filter.Without, sink.Disconnected, sink.Still, sink.ManyStill)
	}
	spec.Open = func(_ context.Context, env sink.Env) (sink.Sink, error) { return New(path, env.Log), nil }
}
