package syslog

import (
	"ossecd/agent/source"
	"ossecd/keys/setting"
)

// FromTable makes the source of a table of type "syslog".
func FromTable(t *source.Table, env source.Env) (source.Source, error) {
	return New(Config{
		Listen: t.String("listen", ""), Protocols: t.Strings("protocols"), Allow: t.Strings("allow"), Deny: t.Strings("deny"), Location: t.Location(),
		IdleTimeout: t.Duration("idle_timeout", 0, 1, setting.Forever), MaxEvent: env.MaxEvent, Log: env.Log,
	})
}
