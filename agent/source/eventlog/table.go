package eventlog

import "ossecd/agent/source"

// FromTable makes the source of a table of type "eventlog".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Channels: t.Strings("channels"), Query: t.Text("query"), FromStart: t.Bool("from_start"),
		Location: t.Location(), State: t.StateFile(env, "eventlog"), MaxEvent: env.MaxEvent, Finish: env.Finish, Log: env.Log,
	})
}
