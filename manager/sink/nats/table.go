package nats

import (
	"context"
	"regexp"
	"time"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

// streamName is what NATS takes as the name of a stream, and a little less.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// FromTable reads a table of type "nats".
func FromTable(t *setting.Table, spec *sink.Spec) {
	t.Renamed("max_bytes", "max_size", nil)
	o := Options{
		Servers: t.Strings("servers"),
		Secrets: Secrets{
			Credentials: t.String("credentials", ""), NKey: t.String("nkey", ""), User: t.String("user", ""),
			PasswordFile: t.String("password_file", ""), TokenFile: t.String("token_file", ""),
			CA: t.String("ca", ""), Cert: t.String("cert", ""), Key: t.String("key", ""),
		},
		Stream: Stream{
			Name: t.String("stream", ""), Replicas: t.Int("replicas", 1, 1, 5), MaxAge: t.Duration("max_age", 7*24*time.Hour, time.Minute, 10*366*24*time.Hour),
			MaxBytes:   t.Size("max_size", 0, 1<<20, 1<<20, 1<<50),
			Duplicates: t.Duration("duplicate_window", 2*time.Minute, time.Second, 24*time.Hour),
			Memory:     t.Word("storage", "file", "memory") == "memory",
		},
	}
	var err error
	if o.Subject, err = ParseSubject(t.String("subject", DefaultSubject)); err != nil {
		t.Fault("subject", "%w", err)
	}
	if len(o.Servers) == 0 {
		t.Fault("servers", `missing; name at least one, as in servers = ["nats://192.0.2.20:4222"]`)
	}
	for _, s := range o.Servers {
		if err := CheckServer(s); err != nil {
			t.Fault("servers", "%w", err)
		}
	}
	if s := o.Stream; s.Name != "" && !streamName.MatchString(s.Name) {
		t.Fault("stream", `%.80q is not a stream name; use letters, digits, "-" and "_"`, s.Name)
	}
	if o.Stream.Name == "" && t.Has("replicas", "max_age", "max_size", "duplicate_window", "storage") {
		t.Fault("stream", "missing; replicas, max_age, max_size, duplicate_window and storage are about a stream that is to be made")
	}
	if o.Stream.Duplicates > o.Stream.MaxAge {
		t.Fault("duplicate_window", "%v is longer than max_age, %v", o.Stream.Duplicates, o.Stream.MaxAge)
	}
	if s := o.Secrets; (s.User == "") != (s.PasswordFile == "") {
		t.Fault("user", "goes with password_file, and that with it")
	}
	if s := o.Secrets; (s.Cert == "") != (s.Key == "") {
		t.Fault("cert", "goes with key, and that with it")
	}
	spec.Write = WriteSize
	spec.Open = func(_ context.Context, env sink.Env) (_ sink.Sink, err error) {
		if o.Origin, err = env.Origin(spec.Name); err != nil {
			return nil, err
		}
		return New(o, env.Log)
	}
}
