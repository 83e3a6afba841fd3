package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/file"
	"ossecd/manager/sink/ossecqueue"
	"ossecd/manager/sink/syslog"
)

const (
	maxSinks    = 32
	maxSinkName = 64 // bytes

	maxAge = 36_500 * 24 // hours
)

const (
	// journalDir is the directory in that of the state that has the journal.
	journalDir = "journal"

	// sinksDir is the one in which an earlier version kept a queue for each sink.
	sinksDir = "sinks"
)

// dirName is a name for a file: letters, digits, "-" and "_" stand for themselves, and other bytes for their number.
func dirName(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

// stdoutName is what people call standard output.
const stdoutName = "standard output"

// opener opens a sink that was found in order.
type opener func(ctx context.Context, log *slog.Logger) (sink.Sink, error)

// plan is a sink to be.
type plan struct {
	spec  sink.Spec
	open  opener
	path  string // of a file
	aside bool   // which is set aside from time to time
}

// sinkTypes read the keys of a [[manager.sink]] beyond those that all types have.
var sinkTypes = map[string]func(c *Config, t *setting.Table, p *plan) opener{
	"file":        fileSink,
	"stdout":      stdoutSink,
	"ossec-queue": queueSink,
	"syslog":      syslogSink,
	"nats":        natsSink,
	"webhook":     webhookSink,
	"http":        httpSink,
	"otlp":        otlpSink,
	"command":     commandSink,
}

// planSinks reads the tables of Config.Sinks, and adds the sink of Config.Events or Config.Out.
func (c *Config) planSinks() (plans []plan, err error) {
	tables := c.Sinks
	if c.OssecHome != "" {
		tables = append(slices.Clip(tables), setting.NewTable("ossec-home", map[string]any{"type": "ossec-queue", "name": "analysis daemon", "path": c.stock().AnalysisQueue()}))
	}
	if len(c.Sinks) > maxSinks {
		return nil, fmt.Errorf("sink: %d are too many; use %d at most", len(c.Sinks), maxSinks)
	}
	switch {
	case c.Out != nil:
		plans = append(plans, c.plan("standard output", func(context.Context, *slog.Logger) (sink.Sink, error) { return file.NewStream(c.Out, false), nil }))
	case c.Events == "-":
		plans = append(plans, c.plan(stdoutName, openStdout(false)))
	case c.Events != "":
		p := c.plan(c.Events, openFile(file.Options{Path: c.Events}))
		p.path = filepath.Clean(c.Events)
		plans = append(plans, p)
	case len(tables) == 0:
		err = errors.New("events: empty; name a file, or - for standard output")
	}
	for i, t := range tables {
		p, faults := c.planSink(t.Begin(), i+1)
		if faults == nil {
			faults = t.Place(p.besides(plans))
		}
		if faults != nil {
			err = errors.Join(err, faults)
			continue
		}
		plans = append(plans, p)
	}
	return plans, err
}

// besides says why a sink cannot be beside others.
func (p *plan) besides(others []plan) error {
	for _, q := range others {
		switch {
		case strings.EqualFold(q.spec.Name, p.spec.Name): // some file systems take both for one
			return fmt.Errorf("name: %.40q is taken by another sink; give each its own", p.spec.Name)
		case p.path != "" && p.path == q.path && (p.aside || q.aside): // else one would set aside what the other writes, and remove it
			return fmt.Errorf("path: %.100q is that of another sink; give each its own, or let none of them have max_size or daily", p.path)
		}
	}
	return nil
}

func (c *Config) plan(name string, open opener) plan {
	place := dirName(name)
	return plan{spec: sink.Spec{Name: name, Place: place, Start: queue.Now, Earlier: filepath.Join(c.State, sinksDir, place)}, open: open}
}

func (c *Config) planSink(t *setting.Table, number int) (plan, error) {
	kind := t.Kind(nil, slices.Sorted(maps.Keys(sinkTypes))...)
	p := c.plan(t.String("name", fmt.Sprintf("%s-%d", kind, number)), nil)
	t.Dropped("queue_size", "events wait in the journal until the sink takes them")
	t.Renamed("queue_disk", "queue", func(v any) any { return v })
	p.spec.Queue = t.Size("queue", 0, 1<<20, 0, maxJournalSize<<20)
	p.spec.Hold = t.Bool("hold")
	if t.Word("start", "now", "oldest") == "oldest" {
		p.spec.Start = queue.AtOldest
	}
	if q := p.spec.Queue; q > 0 && q < 1<<20 {
		t.Fault("queue", "%s is too little; use 1 MB or more, or 0 for no bound but that of the journal", setting.FormatSize(q))
	}
	if p.spec.Hold && p.spec.Queue > 0 {
		t.Fault("queue", "says when events of the sink are lost, and hold = true that none is; leave one of them out")
	}
	p.spec.Filter = sink.ReadFilter(t)
	read := sinkTypes[kind]
	if read == nil {
		return p, t.Faults()
	}
	p.open = read(c, t, &p)
	c.warnings = append(c.warnings, t.Warnings()...)
	if len(p.spec.Name) > maxSinkName {
		t.Fault("name", "%.40q is longer than %d bytes", p.spec.Name, maxSinkName)
	}
	return p, t.End()
}

func fileSink(_ *Config, t *setting.Table, p *plan) opener {
	t.Renamed("keep_days", "max_age", days)
	o := file.Options{
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
	p.path, p.aside = filepath.Clean(o.Path), o.MaxSize > 0 || o.Daily
	return openFile(o)
}

// days makes a number of days a duration; what is none stays for the key to refuse.
func days(v any) any {
	if n, ok := v.(int64); ok && n > 0 && n <= maxAge/24 {
		return fmt.Sprintf("%dh", 24*n)
	}
	return v
}

func openFile(o file.Options) opener {
	return func(ctx context.Context, log *slog.Logger) (sink.Sink, error) { return file.Open(ctx, o, log) }
}

func stdoutSink(_ *Config, t *setting.Table, _ *plan) opener {
	return openStdout(t.Word("format", "json", "archives") == "archives")
}

func openStdout(archives bool) opener {
	return func(context.Context, *slog.Logger) (sink.Sink, error) {
		return file.NewStream(os.Stdout, archives), nil
	}
}

// queueSink leaves out who comes, since agents themselves tell that they have started; and who goes, which the stock monitor
// daemon tells where it has files to tell it by, unless that is asked for.
func queueSink(_ *Config, t *setting.Table, p *plan) opener {
	path := t.String("path", ossecqueue.DefaultPath)
	p.spec.Filter.Without = []string{sink.Connected}
	if !t.Bool("disconnects") {
		p.spec.Filter.Without = append(p.spec.Filter.Without, sink.Disconnected, sink.Still, sink.ManyStill)
	}
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) { return ossecqueue.New(path, log), nil }
}

// Facilities and severities by number (RFC 5424, 6.2.1).
var (
	facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

func syslogSink(_ *Config, t *setting.Table, p *plan) opener {
	o := syslog.Options{
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
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) { return syslog.New(o, log) }
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
