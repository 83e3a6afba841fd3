package metrics

import (
	"math"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	var w Writer
	w.Counter("a_total", "What\n\\is.", Value(1e15, "x", "q\"\\\n", "y", ""), Value(0.5, "x", "bad \xff", "y", "é"))
	w.Gauge("none", "Not there.")
	w.Gauge("b", "Plain.", Value(math.Inf(1)))
	const want = "# HELP a_total What\\n\\\\is.\n# TYPE a_total counter\n" +
		"a_total{x=\"q\\\"\\\\\\n\",y=\"\"} 1e+15\na_total{x=\"bad \ufffd\",y=\"é\"} 0.5\n" +
		"# HELP b Plain.\n# TYPE b gauge\nb +Inf\n"
	if got := string(w.b); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
