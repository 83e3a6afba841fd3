package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ossecd/keys/setting"
	"ossecd/manager/sink"
)

const maxAge = 36_500 * 24 // hours

// FromTable reads a table of type "file".
func FromTable(t *setting.Table, spec *sink.Spec) {
	t.Renamed("keep_days", "max_age", days)
	o := Options{
		Path: t.String("path", ""), Archives: t.Word("format", "json", "archives") == "archives",
		MaxSize: t.Size("max_size", 0, 1<<20, 1<<20, 1<<40), Daily: t.Bool("daily"),
		Keep: t.Int("keep", 0, 1, 100_000), MaxAge: t.Duration("max_age", 0, time.Hour, maxAge*time.Hour), Compress: t.Bool("compress"),
	}
	if o.Path == "" {
		t.Fault("path", "missing; name the file, as in path = \"/var/log/ossecd/events.json\"")
	}
	if (o.Keep > 0 || o.MaxAge > 0 || o.Compress) && o.MaxSize == 0 && !o.Daily {
		t.Fault("", "keep, max_age and compress are for rotated files; give max_size or daily = true, too")
	}
	spec.File, spec.Rotates = filepath.Clean(o.Path), o.MaxSize > 0 || o.Daily
	spec.Open = o.Open
}

// days makes a number of days a duration; what is none stays for the key to refuse.
func days(v any) any {
	if n, ok := v.(int64); ok && n > 0 && n <= maxAge/24 {
		return fmt.Sprintf("%dh", 24*n)
	}
	return v
}

// Open opens the file that the options are for.
func (o Options) Open(ctx context.Context, env sink.Env) (sink.Sink, error) {
	return Open(ctx, o, env.Log)
}

// StreamFromTable reads a table of type "stdout".
func StreamFromTable(t *setting.Table, spec *sink.Spec) {
	archives := t.Word("format", "json", "archives") == "archives"
	spec.Open = func(context.Context, sink.Env) (sink.Sink, error) { return NewStream(os.Stdout, archives), nil }
}
