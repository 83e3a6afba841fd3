package file

import "ossecd/agent/source"

// FromTable makes the source of a table of type "file".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	t.Renamed("globs", "file")
	return New(Config{
		Globs: t.Texts("file"), Exclude: t.Texts("exclude"), FromStart: t.Bool("from_start"), Location: t.Location(),
		Encoding: t.Text("encoding"), MultilineStart: t.Text("multiline_start"), MultilineTimeout: t.Duration("multiline_timeout"),
		Compressed: t.Bool("compressed"),
		Finish:     env.Finish, Positions: t.StateFile(env, "file"), MaxEvent: env.MaxEvent, Log: env.Log,
	})
}
