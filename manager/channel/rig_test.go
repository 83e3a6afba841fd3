package channel

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"context"

	"ossecd/keys"
	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/manager/sink/file"
	"ossecd/manager/sink/sinktest"
	"ossecd/proto"
)

const (
	anyLine   = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	fixedLine = "002 db01 192.0.2.7 0f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
)

func mustKey(t testing.TB, line string) keys.Key {
	k, err := keys.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// direct is a receiver without a socket, of a channel with a fleet and a sink, but no other goroutines.
func direct(t testing.TB, lines ...string) *receiver {
	dir := t.TempDir()
	path, rids, log := filepath.Join(dir, "client.keys"), filepath.Join(dir, "rids"), slog.New(slog.DiscardHandler)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := keys.OpenStore(path, log)
	if err != nil {
		t.Fatal(err)
	}
	received, err := keys.OpenReceived(filepath.Join(dir, "received"))
	if err != nil {
		t.Fatal(err)
	}
	sender, err := keys.OpenSender(rids)
	if err != nil {
		t.Fatal(err)
	}
	open := func(context.Context, sink.Env) (sink.Sink, error) { return file.NewStream(io.Discard, false), nil }
	sinks := sinktest.Start(t, sinktest.Journal(t), log, sink.Spec{Name: "discard", Open: open})
	t.Cleanup(func() {
		if err := sinks.Close(time.Minute); err != nil {
			t.Error(err)
		}
		if err := received.Close(); err != nil {
			t.Error(err)
		}
		if err := sender.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := New(Config{Run: "RUN", Sender: sender, Events: sinks, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(fleet.Config{
		Keys: path, State: dir, Rids: rids, Store: store, Received: received,
		HeardElsewhere: func(keys.Key) (t time.Time) { return t }, Report: func(fleet.Event) {}, Converse: c.Converse, Log: log,
	})
	c.Join(f)
	f.TakeUpKeys()
	r, err := newReceiver(c, deaf{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deaf is a socket that takes answers and forgets them.
type deaf struct{ listen.PacketConn }

func (deaf) WritePacket([]byte, netip.AddrPort, netip.Addr) error { return nil }

// keeps is a socket that keeps what is sent.
type keeps struct {
	listen.PacketConn
	sent [][]byte
}

func (k *keeps) WritePacket(d []byte, _ netip.AddrPort, _ netip.Addr) error {
	k.sent = append(k.sent, bytes.Clone(d))
	return nil
}

// sealAs makes datagrams of an agent, with rising counts.
func sealAs(t testing.TB, keyLine string, e proto.Envelope) func(message string) []byte {
	k := mustKey(t, keyLine)
	c := proto.NewCipher(k.CipherKey())
	s, err := proto.NewSealer(9)
	if err != nil {
		t.Fatal(err)
	}
	return func(message string) []byte {
		e.Counter = e.Counter.Next()
		d, err := s.Seal(nil, c, &e, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// hostUname is what a host says of itself; no answer to a keepalive of ours may be longer than that is.
const hostUname = "Linux host.example.net 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64"

func keepalive(program string, notify time.Duration) string {
	return string(proto.AppendKeepalive(nil, &proto.Keepalive{
		Uname: hostUname, Program: program, Files: []proto.FileSum{{Name: proto.MergedName}}, NotifyTime: notify,
	}))
}
