package syslog

import "ossecd/agent/source"

// FromTable makes the source of a table of type "syslog".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Listen: t.Text("listen"), Protocols: t.Texts("protocols"), Allow: t.Texts("allow"), Deny: t.Texts("deny"), Location: t.Location(),
		IdleTimeout: t.Duration("idle_timeout"), MaxEvent: env.MaxEvent, Log: env.Log,
	})
}
