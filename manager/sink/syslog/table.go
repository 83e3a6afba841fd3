package syslog

import (
	"context"
	"net"
	"slices"
	"strings"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

// Facilities and severities by number (RFC 5424, 6.2.1).
var (
	facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// FromTable reads a table of type "syslog".
func FromTable(t *setting.Table, spec *sink.Spec) {
	o := Options{
		Address: t.String("address", ""), Protocol: t.Word("protocol", "udp", "tcp", "tls"), CA: t.String("ca", ""),
		Facility: place(t, "facility", "local0", facilities), Severity: place(t, "severity", "info", severities),
	}
	most := 1 << 20
	if o.Protocol == "udp" {
		most = 65_000
	}
	o.MaxSize = int(t.Size("max_size", 8192, 1, 2048, int64(most)))
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		t.Fault("address", "%.80q is not host:port, as in \"192.0.2.20:514\" (6514 for tls)", o.Address)
	}
	if o.CA != "" && o.Protocol != "tls" {
		t.Fault("ca", "goes with protocol = \"tls\"")
	}
	spec.Open = func(_ context.Context, env sink.Env) (sink.Sink, error) { return New(o, env.Log) }
}

// place is the number of one of many words.
func place(t *setting.Table, key, fallback string, words []string) int {
	word := t.String(key, fallback)
	n := slices.Index(words, word)
	if n < 0 {
		t.Fault(key, "%.40q is unknown; use one of %s", word, strings.Join(words, ", "))
	}
	return n
}
