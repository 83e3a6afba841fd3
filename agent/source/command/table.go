package command

import "ossecd/agent/source"

// FromTable makes the source of a table of type "command" or "full-command".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Command: t.Texts("command"), Shell: t.Text("shell"), Whole: t.Type() == source.FullCommand,
		Alias: t.Text("alias"), Location: t.Location(),
		Interval: t.Duration("interval"), Timeout: t.Duration("timeout"), MaxOutput: int(t.Size("max_output", 1, MostOutput)),
		MaxEvent: env.MaxEvent, Finish: env.Finish, Log: env.Log,
	})
}
