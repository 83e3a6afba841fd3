package command

import (
	"ossecd/agent/source"
	"ossecd/keys/setting"
)

// FromTable makes the source of a table of type "command" or "full-command".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Command: t.Strings("command"), Shell: t.Text("shell"), Whole: t.Type() == source.FullCommand,
		Alias: t.String("alias", ""), Location: t.Location(),
		Interval: t.Duration("interval", 0, 1, setting.Forever), Timeout: t.Duration("timeout", 0, 1, setting.Forever), MaxOutput: int(t.Size("max_output", 0, 1, 1, MostOutput)),
		MaxEvent: env.MaxEvent, Finish: env.Finish, Log: env.Log,
	})
}
