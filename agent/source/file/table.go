package file

import (
	"ossecd/agent/source"
	"ossecd/keys/setting"
)

// FromTable makes the source of a table of type "file".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	t.Renamed("globs", "file", nil)
	return New(Config{
		Globs: t.Strings("file"), Exclude: t.Strings("exclude"), FromStart: t.Bool("from_start"), Location: t.Location(),
		Encoding: t.String("encoding", ""), MultilineStart: t.Text("multiline_start"), MultilineTimeout: t.Duration("multiline_timeout", 0, 1, setting.Forever),
		Compressed: t.Bool("compressed"),
		Finish:     env.Finish, Positions: t.StateFile(env, "file"), MaxEvent: env.MaxEvent, Log: env.Log,
	})
}
