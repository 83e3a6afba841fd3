package journald

import "ossecd/agent/source"

// FromTable makes the source of a table of type "journald".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Units: t.Strings("units"), Identifiers: t.Strings("identifiers"), Priority: t.String("priority", ""), FromStart: t.Bool("from_start"),
		Location: t.Location(), State: t.StateFile(env, "journald"), MaxEvent: env.MaxEvent, Finish: env.Finish, Log: env.Log,
	})
}
