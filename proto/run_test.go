package proto

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	want := Run{"4RQ2kx", Counter{1763850000, 9999}, Counter{4294967295, 0}, Counter{}}
	ack := AppendAck(nil, &want)
	if string(ack) != "#!-agent ack run=4RQ2kx last=1763850000:9999 first=4294967295:0" {
		t.Errorf("%s", ack)
	}
	kind, rest := ParseFromManager(ack)
	if got, ok := ParseRun(rest); kind != ManagerAck || !ok || got != want {
		t.Errorf("kind %v, %+v, %v", kind, got, ok)
	}
	want.Of = Counter{1763850001, 7}
	ack = AppendAck(nil, &want)
	if string(ack) != "#!-agent ack run=4RQ2kx last=1763850000:9999 first=4294967295:0 of=1763850001:7" {
		t.Errorf("%s", ack)
	}
	if got, ok := ParseRun(ack[len(Ack):]); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if kind, rest := ParseFromManager([]byte(Ack)); kind != ManagerAck || len(rest) > 0 {
		t.Errorf("a bare ack: %v, %q", kind, rest)
	}
	if _, ok := ParseRun(nil); ok {
		t.Error("a bare ack names a run")
	}
	for _, bad := range []string{
		"run=", "run=a", "run=a last=1:1", "run= last=1:1 first=1:1", "run=a last=1:1 first=1:1 ", "run=a last=1:1 first=1:1 x=1",
		"run=a\x1b last=1:1 first=1:1", "run=" + strings.Repeat("a", 65) + " last=1:1 first=1:1", "run=a last=4294967296:1 first=1:1",
		"run=a last=1:10000 first=1:1", "run=a last=-1:1 first=1:1", "run=a last=1 first=1:1", "run=a last=1:1 first=1:1 of=", "run=a last=1:1 first=1:1 of=1:1 ", "run=a last=1:1 of=1:1", "run=a last=: first=1:1", "x", " ",
	} {
		if kind, _ := ParseFromManager([]byte(Ack + bad)); kind != ManagerOther {
			t.Errorf("%q is taken for %v", bad, kind)
		}
	}
}
