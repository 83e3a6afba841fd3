package nats

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"ossecd/manager/sink"
)

func TestParseSubject(t *testing.T) {
	t.Parallel()
	tests := []struct{ template, filter, want string }{
		{DefaultSubject, "ossec.events.*", "ossec.events.001"},
		{"plain", "plain", "plain"},
		{"a.{agent.name}.{queue}.{location}", "a.*.*.*", "a.web_1_*_.8._var_log_x"},
		{"h-{agent.id}-{action}.x", "*.x", "h-001-_.x"},
		{"{agent.id}{queue}", "*", "0018"},
	}
	for _, tt := range tests {
		s, err := ParseSubject(tt.template)
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
			continue
		}
		e := sink.Event{ID: []byte("001"), Name: []byte("web.1 *>"), Queue: '8', Location: []byte("/var/log/x")}
		want := strings.Replace(tt.want, "*", "_", 1)
		if got := string(s.appendTo(nil, &e)); got != want || s.Filter() != tt.filter {
			t.Errorf("%q: %q and %q, want %q and %q", tt.template, got, s.Filter(), want, tt.filter)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.>", "a.*", "*", ">", "a\x00", "é", "{", "a.{agent}", "{agent.id", "a}b", "$JS.x", "{}", strings.Repeat("a", 300)} {
		if s, err := ParseSubject(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, s)
		}
	}
}

// Whatever events say, their subject is one that can be published to, matches the filter, and has as many words.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"", "plain", "*", ">", "a.b", " ", "\r\nPUB x 1\r\n", "\x00\xff", strings.Repeat("é.", 100)} {
		f.Add([]byte(s), byte('.'))
	}
	s, err := ParseSubject("ossec.{agent.id}.x-{agent.name}.{queue}.{location}.{action}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, queue byte) {
		e := sink.Event{ID: text, Name: text, Location: text, Action: text, Queue: queue}
		got := string(s.appendTo(nil, &e))
		if !server.IsValidLiteralSubject(got) || !server.SubjectsCollide(got, s.Filter()) || strings.Count(got, ".") != 5 || len(got) > 600 {
			t.Errorf("%q", got)
		}
	})
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"nats://192.0.2.20:4222", "tls://nats.example:4222/", "nats://[::1]"} {
		if err := CheckServer(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "192.0.2.20:4222", "http://x", "nats://", "nats://:4222", "nats://user:secret@x", "nats://x/y", "nats://x?y", "nats://x,nats://y"} {
		if err := CheckServer(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
