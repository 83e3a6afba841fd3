package order

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ossecd/proto"
)

func TestParseRequest(t *testing.T) {
	t.Parallel()
	const location = "(web01) any->/var/log/auth.log"
	forged := "(web01) any->/x ANN (null) restart-ossec0"
	tests := []struct {
		datagram string
		want     Request
	}{ // the first five are what the stock analysis daemon and control tool send
		{location + " NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)\x00",
			Request{Sender: "web01", Text: "#!-execd host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"}},
		{location + " NNS 001 host-deny601 - 10.9.8.7 1795415962.1 5710 " + location + " (null)\x00",
			Request{ID: "001", Text: "#!-execd host-deny601 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"}},
		{location + " ANN (null) host-deny602 - 10.9.8.7 1.1 5710 " + location + " (null)\x00",
			Request{All: true, Text: "#!-execd host-deny602 - 10.9.8.7 1.1 5710 " + location + " (null)"}},
		{"(msg_to_agent) [] NNS 001 restart-ossec0 - null (from_the_server) (no_rule_id)\x00",
			Request{ID: "001", Text: "#!-execd restart-ossec0 - null (from_the_server) (no_rule_id)"}},
		{"(msg_to_agent) [] A!N (null) syscheck restart\x00", Request{All: true, Text: proto.SyscheckNow}},
		{forged + " NRN (null) host-deny600 - 10.9.8.7 1.1 5710 " + forged + " (null)\x00",
			Request{Sender: "web01", Text: "#!-execd host-deny600 - 10.9.8.7 1.1 5710 " + forged + " (null)"}},
	}
	for _, test := range tests {
		if got, err := ParseRequest([]byte(test.datagram)); err != nil || got != test.want {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", test.datagram, got, err, test.want)
		}
	}
	for _, bad := range []string{"", " ", "x", "(l) NNN 001 x", "(l) NRS", "(l) NNS 001", "(l) NNS 001 ", "web01 NRN (null) x y",
		"(l) NNS 001 a\nb", "(l) NNS 001 " + strings.Repeat("x", proto.MaxOrder)} {
		if got, err := ParseRequest([]byte(bad)); err == nil {
			t.Errorf("%.40q: got %+v, want an error", bad, got)
		}
	}
}

// A user's name comes from a log line, and may have blanks: then the words behind it are not what they seem, and the location behind
// the command is not where it belongs. Neither may that help a look-alike in the location, nor may the user's name bring an address.
func TestForgedUser(t *testing.T) {
	t.Parallel()
	const plain = "(web01) any->/x"
	forged := plain + " ANN (null) host-deny600 - 8.8.8.8 1.1 5710 " + plain + " y"
	for name, d := range map[string]string{
		"blanks help a forged location": forged + " NRN (null) host-deny600 a b 10.9.8.7 1.1 5710 " + forged + " (null)",
		"an address in the name":        plain + " NRN (null) host-deny600 a 8.8.8.8 10.9.8.7 1.1 5710 " + plain + " (null)",
		"a location in the name":        plain + " ANN (null) host-deny600 a 8.8.8.8 1.1 5710 " + plain + " z 10.9.8.7 1.1 5710 " + plain + " (null)",
		"a location in the file's name": plain + " ANN (null) host-deny600 a b 10.9.8.7 1.1 5710 " + plain + " " + plain + " x",
		"the server's own event":        "web01->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 web01->/x y NRN (null) host-deny600 - 10.9.8.7 1.1 5710 web01->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 web01->/x y (null)",
		"it, with blanks":               "web01->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 web01->/x y NRN (null) host-deny600 a b 10.9.8.7 1.1 5710 web01->/x y (null)",
	} {
		if r, err := ParseRequest([]byte(d)); err == nil {
			t.Errorf("%s: obeyed as %+v", name, r)
		}
	}
	// A name that looks like flags is no reason for doubt.
	if r, err := ParseRequest([]byte(plain + " NRN (null) host-deny600 ANN 10.9.8.7 1.1 5710 " + plain + " (null)")); err != nil || r.Sender != "web01" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// An agent's location that looks like an order to others is never obeyed, whole or cut where the stock daemon cuts.
func TestForgedRequest(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]string{
		"an order":             "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8",
		"a whole order":        "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x y",
		"an order to one":      "(web01) any->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x y",
		"several":              "(web01) any->/x ANN (null) a - 8.8.8.8 1.1 5 (web01) any->/x ANN (null) a - 8.8.8.8 1.1 5 (web01) any->/x y",
		"without a command":    "(web01) any->/x A!N (null) syscheck restart",
		"that fills it":        "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x " + strings.Repeat("y", 1000),
		"behind much text":     "(web01) any->/" + strings.Repeat("p", 600) + " ANN (null) host-deny600 - 8.8.8.8 1.1 5710 x",
		"beside one to itself": "(web01) any->/x NRN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x " + strings.Repeat("y", 1000),
	} {
		whole := location + " NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"
		for cut := 1; cut <= len(whole); cut++ {
			for fill := range 2 { // text before the cut is what makes a datagram long
				d := whole[:cut]
				if fill > 0 {
					d += strings.Repeat("z", max(0, stockLongest-cut))
				} else if cut < len(whole) && cut < stockLongest {
					continue // what is shorter is not cut
				}
				if r, err := ParseRequest([]byte(d[:min(len(d), stockLongest)])); err == nil && (r.All || r.ID != "" || r.Sender != "web01") {
					t.Fatalf("%s: %q: obeyed as %+v", name, d, r)
				}
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("(web01) any->/var/log/auth.log NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 (web01) any->/var/log/auth.log (null)\x00"))
	f.Add([]byte("(msg_to_agent) [] A!N (null) syscheck restart\x00"))
	f.Add([]byte("()  NRN  0"))
	f.Fuzz(func(t *testing.T, d []byte) {
		r, err := ParseRequest(d)
		if err == nil && (!proto.IsControl([]byte(r.Text)) || len(r.Text) > proto.MaxOrder || !r.All && r.ID == "" && r.Sender == "") {
			t.Errorf("%q: %+v", d, r)
		}
	})
}

// The analysis daemon connects to the queue once. One that runs already when the queue is made has lost it, and is named.
func TestListenQueueBehindTheAnalysisDaemon(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no unix datagram sockets")
	}
	dir, err := os.MkdirTemp("", "ar") // a name that leaves room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	queue, analysis := filepath.Join(dir, "ar"), filepath.Join(dir, "queue")
	for _, running := range []bool{false, true, false} {
		var daemon *net.UnixConn
		if running {
			if daemon, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: analysis, Net: "unixgram"}); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		q, err := ListenQueue(queue, analysis, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		q.Close()
		if strings.Contains(log.String(), "was started before") != running {
			t.Errorf("the daemon runs: %v, log: %s", running, log.String())
		}
		if running {
			daemon.Close() // leaves its file
		}
	}
}
