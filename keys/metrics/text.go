// Package metrics is what monitoring asks of a daemon: metrics in the text form of Prometheus, and whether it is healthy and ready.
package metrics

import (
	"strconv"
	"strings"
)

// Writer writes metrics in the text form of Prometheus, version 0.0.4.
type Writer struct{ b []byte }

// Sample is one value of a metric, with the labels that tell it from the others.
type Sample struct {
	Value  float64
	labels []string // name, value, name, value
}

// Value is a sample. labels are names, each followed by its value.
func Value(v float64, labels ...string) Sample { return Sample{v, labels} }

// Gauge writes a metric that can rise and fall.
func (w *Writer) Gauge(name, help string, samples ...Sample) { w.metric(name, help, "gauge", samples) }

// Counter writes a metric that only rises while the process runs.
func (w *Writer) Counter(name, help string, samples ...Sample) {
	w.metric(name, help, "counter", samples)
}

// BuildInfo writes the metric that tells the version.
func (w *Writer) BuildInfo(version string) {
	w.Gauge("ossecd_build_info", "Always 1; the label tells the version.", Value(1, "version", version))
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func (w *Writer) metric(name, help, kind string, samples []Sample) {
	if len(samples) == 0 {
		return
	}
	w.b = append(append(append(append(w.b, "# HELP "...), name...), ' '), escapeHelp.Replace(help)...)
	w.b = append(append(append(append(w.b, "\n# TYPE "...), name...), ' '), kind...)
	w.b = append(w.b, '\n')
	for _, s := range samples {
		w.b = append(w.b, name...)
		for i := 0; i+1 < len(s.labels); i += 2 {
			w.b = append(w.b, "{,"[min(i, 1)])
			w.b = append(append(w.b, s.labels[i]...), `="`...)
			w.b = append(append(w.b, escapeLabel.Replace(strings.ToValidUTF8(s.labels[i+1], "\ufffd"))...), '"')
		}
		if len(s.labels) > 1 {
			w.b = append(w.b, '}')
		}
		w.b = append(strconv.AppendFloat(append(w.b, ' '), s.Value, 'g', -1, 64), '\n')
	}
}
