package sink

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var testNow = time.Date(2026, 11, 22, 15, 24, 33, 651_004_999, time.FixedZone("", 3600))

// lineOf is the JSON of a lot with one event.
func lineOf(l *Lot) string {
	var j JSON
	var e Event
	var b []byte
	for events := l.Events(); events.Next(&e); {
		b = j.Append(b, &e)
	}
	return string(b)
}

func TestJSONOfAnEvent(t *testing.T) {
	t.Parallel()
	var l Lot
	l.Event(NewAgent("001", "web01", "any"), testNow, 7, netip.MustParseAddrPort("10.0.0.7:40112"), '1',
		[]byte("/var/log/auth.log"), []byte("Nov 22 web01 sshd[123]: <b>\"x\"\\&\n\t\x00\x1b[31m"))
	got := lineOf(&l)
	want := `{"timestamp":"2026-11-22T14:24:33.651004Z","agent":{"id":"001","name":"web01","ip":"any"},"source":"10.0.0.7:40112",` +
		`"queue":"1","location":"/var/log/auth.log","full_log":"Nov 22 web01 sshd[123]: <b>\"x\"\\&\n\t\u0000\u001b[31m"}` + "\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestJSONOfReports(t *testing.T) {
	t.Parallel()
	var l Lot
	l.Report(NewAgent("001", "web01", "10.0.0.0/8"), nil, testNow, "ossec: Agent disconnected: 'web01-10.0.0.0/8'.", Report{Action: Disconnected})
	l.Report(nil, nil, testNow.Add(time.Second), "ossecd: 7 events lost.", Report{Action: Lost, Number: 7})
	got := lineOf(&l)
	want := `{"timestamp":"2026-11-22T14:24:33.651004Z","agent":{"id":"001","name":"web01","ip":"10.0.0.0/8"},"queue":"1",` +
		`"location":"ossecd","full_log":"ossec: Agent disconnected: 'web01-10.0.0.0/8'.","event":{"action":"agent-disconnected"}}` + "\n" +
		`{"timestamp":"2026-11-22T14:24:34.651004Z","queue":"1","location":"ossecd","full_log":"ossecd: 7 events lost.",` +
		`"event":{"action":"events-lost","count":7}}` + "\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// checkLine holds an event line against encoding/json and says what stands in it.
func checkLine(t *testing.T, line []byte, location, message []byte) {
	t.Helper()
	var got struct {
		Location    string
		LocationB64 string `json:"location_b64"`
		FullLog     string `json:"full_log"`
		FullLogB64  string `json:"full_log_b64"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if n := strings.Count(string(line), "\n"); n != 1 || line[len(line)-1] != '\n' {
		t.Fatalf("%q has %d line ends", line, n)
	}
	for _, c := range string(line[:len(line)-1]) {
		if c < 0x20 || c >= 0x7f && c < 0xa0 {
			t.Fatalf("%q has the control character %U", line, c)
		}
	}
	for _, f := range []struct {
		raw       []byte
		text, b64 string
	}{{location, got.Location, got.LocationB64}, {message, got.FullLog, got.FullLogB64}} {
		want := ""
		for _, r := range string(f.raw) { // gives one U+FFFD for each byte that is not UTF-8
			want += string(r)
		}
		if f.text != want {
			t.Errorf("%q became %q, want %q", f.raw, f.text, want)
		}
		if valid := utf8.Valid(f.raw); valid != (f.b64 == "") {
			t.Errorf("%q: base64 %q", f.raw, f.b64)
		} else if exact, err := base64.StdEncoding.DecodeString(f.b64); !valid && (err != nil || string(exact) != string(f.raw)) {
			t.Errorf("%q: base64 gives %q, %v", f.raw, exact, err)
		}
	}
}

func FuzzEventLine(f *testing.F) {
	for _, s := range []string{"", "plain", "q\"b\\n\nr\rt\tNUL\x00", "caf\u00e9 \u2028 \U0001f600", "\xff\xfe half \xc3", "\u0085\u009b31m\x7f", "<&>", "\xed\xa0\x80"} {
		f.Add([]byte(s), []byte(s))
	}
	agent := NewAgent("001", "web01", "any")
	f.Fuzz(func(t *testing.T, location, message []byte) {
		var l Lot
		l.Event(agent, testNow, 1, netip.MustParseAddrPort("[2001:db8::1]:1"), '1', location, message)
		checkLine(t, []byte(lineOf(&l)), location, message)
	})
}

func BenchmarkJSON(b *testing.B) {
	var l Lot
	l.Event(NewAgent("001", "web01", "any"), testNow, 1, from, '1', []byte("/var/log/auth.log"), []byte(strings.Repeat("Failed password ", 12)))
	var j JSON
	var e Event
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		events := l.Events()
		events.Next(&e)
		line = j.Append(line[:0], &e)
	}
}
