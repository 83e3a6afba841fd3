package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ossecd/keys/durable/queue"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/command"
	"ossecd/manager/sink/file"
	"ossecd/manager/sink/httpbulk"
	"ossecd/manager/sink/nats"
	"ossecd/manager/sink/ossecqueue"
	"ossecd/manager/sink/otlp"
	"ossecd/manager/sink/syslog"
	"ossecd/manager/sink/webhook"
)

const (
	maxSinks    = 32
	maxSinkName = 64 // bytes
)

const (
	// journalDir is the directory in that of the state that has the journal.
	journalDir = "journal"

	// sinksDir is the one in which an earlier version kept a queue for each sink.
	sinksDir = "sinks"
)

// sinkKinds read the keys of a [[manager.sink]] beyond those that all kinds have, and say how it is opened.
var sinkKinds = map[string]func(*setting.Table, *sink.Spec){
	"file":        file.FromTable,
	"stdout":      file.StreamFromTable,
	"ossec-queue": ossecqueue.FromTable,
	"syslog":      syslog.FromTable,
	"nats":        nats.FromTable,
	"webhook":     webhook.FromTable,
	"http":        httpbulk.FromTable,
	"otlp":        otlp.FromTable,
	"command":     command.FromTable,
}

// planSinks reads the tables of Config.Sinks, and adds the sink of Config.Events or Config.Out.
func (c *Config) planSinks() (plans []sink.Spec, err error) {
	tables := c.Sinks
	if c.OssecHome != "" {
		tables = append(slices.Clip(tables), setting.NewTable("ossec-home", map[string]any{"type": "ossec-queue", "name": "analysis daemon", "path": c.stock().AnalysisQueue()}))
	}
	if len(c.Sinks) > maxSinks {
		return nil, fmt.Errorf("sink: %d are too many; use %d at most", len(c.Sinks), maxSinks)
	}
	switch {
	case c.Out != nil:
		plans = append(plans, c.stream(c.Out))
	case c.Events == "-":
		plans = append(plans, c.stream(os.Stdout))
	case c.Events != "":
		p := c.spec(c.Events)
		p.File, p.Open = filepath.Clean(c.Events), file.Options{Path: c.Events}.Open
		plans = append(plans, p)
	case len(tables) == 0:
		err = errors.New("events: empty; name a file, or - for standard output")
	}
	for i, t := range tables {
		p, faults := c.planSink(t.Begin(), i+1)
		if faults == nil {
			faults = t.Place(besides(&p, plans))
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
func besides(p *sink.Spec, others []sink.Spec) error {
	for _, q := range others {
		switch {
		case strings.EqualFold(q.Name, p.Name): // some file systems take both for one
			return fmt.Errorf("name: %.40q is taken by another sink; give each its own", p.Name)
		case p.File != "" && p.File == q.File && (p.Rotates || q.Rotates): // else one would set aside what the other writes, and remove it
			return fmt.Errorf("path: %.100q is that of another sink; give each its own, or let none of them have max_size or daily", p.File)
		}
	}
	return nil
}

func (c *Config) spec(name string) sink.Spec {
	place := sink.PlaceOf(name)
	return sink.Spec{Name: name, Place: place, Start: queue.Now, Earlier: filepath.Join(c.State, sinksDir, place)}
}

// stream is the sink of standard output, as people call it, or of what stands for it.
func (c *Config) stream(w io.Writer) sink.Spec {
	s := c.spec("standard output")
	s.Open = func(context.Context, sink.Env) (sink.Sink, error) { return file.NewStream(w, false), nil }
	return s
}

func (c *Config) planSink(t *setting.Table, number int) (sink.Spec, error) {
	kind := t.Kind(nil, slices.Sorted(maps.Keys(sinkKinds))...)
	p := c.spec(t.String("name", fmt.Sprintf("%s-%d", kind, number)))
	t.Dropped("queue_size", "events wait in the journal until the sink takes them")
	t.Renamed("queue_disk", "queue", func(v any) any { return v })
	p.Queue = t.Size("queue", 0, 1<<20, 0, maxJournalSize<<20)
	p.Hold = t.Bool("hold")
	if t.Word("start", "now", "oldest") == "oldest" {
		p.Start = queue.AtOldest
	}
	if q := p.Queue; q > 0 && q < 1<<20 {
		t.Fault("queue", "%s is too little; use 1 MB or more, or 0 for no bound but that of the journal", setting.FormatSize(q))
	}
	if p.Hold && p.Queue > 0 {
		t.Fault("queue", "says when events of the sink are lost, and hold = true that none is; leave one of them out")
	}
	p.Filter = sink.ReadFilter(t)
	read := sinkKinds[kind]
	if read == nil {
		return p, t.Faults()
	}
	read(t, &p)
	c.warnings = append(c.warnings, t.Warnings()...)
	if len(p.Name) > maxSinkName {
		t.Fault("name", "%.40q is longer than %d bytes", p.Name, maxSinkName)
	}
	return p, t.End()
}
