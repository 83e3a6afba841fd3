//go:build unix

package obey

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/shared"
	"ossecd/keys/testlog"
	"ossecd/proto"
)

// tell gives Orders a message, which nobody needs to answer.
func tell(t *testing.T, o *Orders, text string) {
	t.Helper()
	kind, rest := proto.ParseFromManager([]byte(text))
	o.Obey(conversation.Message{Kind: kind, Text: []byte(text), Rest: rest}, func([]byte) error { return nil })
}

func newOrders(t *testing.T, cfg Config) (*Orders, *testlog.Buffer) {
	t.Helper()
	log := new(testlog.Buffer)
	store, err := shared.Open(filepath.Join(t.TempDir(), "shared"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Shared, cfg.Log = store, log.Logger()
	o := New(cfg)
	t.Cleanup(o.Close)
	return o, log
}

// Orders for active responses go to the stock execd where ours are not enabled.
func TestOrdersToTheStockExecd(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "execd") // with a name that leaves room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "execq")
	o, log := newOrders(t, Config{Execd: socket})
	text := "host-deny600 - 10.9.8.7 1.2 5712 (web01) any->/var/log/auth.log (null)"
	tell(t, o, proto.Execd+text)
	if log.Count("cannot be handed to the stock execd", "start ossec-execd") != 1 {
		t.Errorf("without execd: %s", log)
	}
	execd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer execd.Close()
	tell(t, o, proto.Execd+text)
	got := make([]byte, 1000)
	execd.SetDeadline(time.Now().Add(10 * time.Second))
	n, err := execd.Read(got)
	if err != nil || string(got[:n]) != text+"\x00" {
		t.Errorf("execd got %q, %v", got[:n], err)
	}
	if log.Count("handed to the stock execd", "host-deny600") != 2 { // one of them is that it was not
		t.Errorf("with execd: %s", log)
	}
	tell(t, o, proto.Execd+"block - $(reboot) 1.2 5712") // execd gets what ours would obey, and no more
	tell(t, o, proto.Execd+`{"version":1,"command":"block","parameters":{"extra_args":[],"alert":{"data":{"srcip":"10.0.0.1","srcuser":"$(reboot)"}}}}`)
	if n, err = execd.Read(got); err != nil || strings.Contains(string(got[:n]), "reboot") || !strings.Contains(string(got[:n]), `"srcip":"10.0.0.1"`) {
		t.Errorf("execd got %q, %v", got[:n], err)
	}
	if log.Count("refused, and not handed to the stock execd") != 1 {
		t.Errorf("of a refused order: %s", log)
	}
}

// An order for an integrity check goes to the install whose collectors feed us.
func TestAnIntegrityCheck(t *testing.T) {
	t.Parallel()
	o, log := newOrders(t, Config{})
	tell(t, o, proto.SyscheckNow)
	if log.Count("no syscheckd feeds this agent") != 1 {
		t.Errorf("said: %s", log)
	}
	root := t.TempDir()
	run := filepath.Join(root, "var/run")
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	o, log = newOrders(t, Config{Syscheck: []string{root, "/elsewhere"}})
	tell(t, o, proto.SyscheckNow)
	if log.Count("handed to syscheckd") != 1 {
		t.Errorf("said: %s", log)
	}
	mark := filepath.Join(run, ".syscheck_run")
	if text, err := os.ReadFile(mark); err != nil || string(text) != "/var/run/.syscheck_run\n" {
		t.Errorf("%q, %v", text, err)
	}
	outside := filepath.Join(root, "outside")
	if err := errors.Join(os.Remove(mark), os.Symlink(outside, mark)); err != nil {
		t.Fatal(err)
	}
	tell(t, o, proto.SyscheckNow)
	if _, err := os.Stat(outside); err == nil || log.Count("cannot be handed") != 1 {
		t.Errorf("a link led out: %s", log)
	}
}
