package socket

import "ossecd/agent/source"

// FromTable makes the source of a table of type "ossec-queue".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{Path: t.String("path", ""), Location: t.Location(), MaxEvent: env.MaxEvent, Log: env.Log})
}
