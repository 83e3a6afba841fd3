package system

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
	"ossecd/testdata/program"
)

// TestPushRate prints how long it takes until 10,000 agents have a new shared file of 100 KB, while others send 1,000 events a second,
// all of which must come out. Agents and manager share the cores.
func TestPushRate(t *testing.T) {
	if os.Getenv("OSSECD_PERFORMANCE") == "" {
		t.Skip("a measurement, for a quiet machine: OSSECD_PERFORMANCE=1")
	}
	const agents, size, rate = 10_000, 100_000, 1000
	dir := t.TempDir()
	path := filepath.Join(dir, "client.keys")
	var names strings.Builder
	for n := range agents + 1 {
		fmt.Fprintf(&names, "host%d\n", n)
	}
	add := exec.Command("ossecd", "keygen", "add", "-", "--keys", path)
	add.Stdin = strings.NewReader(names.String())
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.500s", err, out)
	}
	set, _, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	last := set.Keys[agents]
	if err := os.WriteFile(filepath.Join(dir, "last.keys"), []byte(last.Line()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "all")
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--shared", "all", "--listen", "127.0.0.1:0", "--events", "events.json")
	addr := string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])

	say, err := proto.NewSealer(1)
	if err != nil {
		t.Fatal(err)
	}
	crowd := crowd{t: t, sealer: say, openers: sync.Pool{New: func() any { return proto.NewOpener() }}, done: make(chan struct{}, agents)}
	for _, k := range set.Keys[:agents] {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		m := &member{crowd: &crowd, cipher: proto.NewCipher(k.CipherKey()), conn: conn, sum: "x", has: make(chan struct{}, 1)}
		m.e = proto.Envelope{ID: k.ID, Method: proto.AES, Dialect: proto.OSSEC}
		m.say(proto.Startup)
		m.report()
		go m.run()
		if !m.waitAnswer() {
			t.Fatalf("agent %s is not answered", k.ID)
		}
	}
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(content)
	content = []byte(hex.EncodeToString(content))[:size]
	load := runDaemon(t, dir, "load", "send-test", "--keys", "last.keys", "--manager", addr, "--count", "1000000", "--rate", fmt.Sprint(rate), "load")
	time.Sleep(2 * time.Second)

	crowd.counting.Store(true)
	began := time.Now()
	if err := os.WriteFile(filepath.Join(shared, "new.conf"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range agents {
		select {
		case <-crowd.done:
		case <-time.After(5 * time.Minute):
			t.Fatalf("after %v only %d of %d have the file", time.Since(began), n, agents)
		}
	}
	took := time.Since(began)
	load.Cmd.Process.Signal(os.Interrupt)
	load.Wait(program.WaitLimit)
	out, _ := os.ReadFile(filepath.Join(dir, "load.out"))
	errs, _ := os.ReadFile(filepath.Join(dir, "load.err"))
	time.Sleep(time.Second)
	text, err := os.ReadFile(filepath.Join(dir, "events.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d agents had %d KB each after %.1f s, %d pushes were spoiled; of the events %d came out; send-test: %s%s",
		agents, size/1000, took.Seconds(), crowd.spoiled.Load(), bytes.Count(text, []byte(`"full_log":"load`)), out, errs)
}

// crowd are agents that take files and do nothing else.
type crowd struct {
	t        *testing.T
	mu       sync.Mutex
	sealer   *proto.Sealer
	openers  sync.Pool
	counting atomic.Bool
	spoiled  atomic.Int64
	done     chan struct{}
}

// member is one of them.
type member struct {
	*crowd
	cipher *proto.Cipher
	conn   net.Conn
	e      proto.Envelope
	has    chan struct{} // it was answered

	sum, coming string
	file        []byte
}

func (m *member) say(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e.Counter = m.e.Counter.Next()
	d, err := m.sealer.Seal(nil, m.cipher, &m.e, []byte(text))
	if err == nil {
		_, err = m.conn.Write(d)
	}
	if err != nil {
		m.t.Error(err)
	}
}

func (m *member) report() {
	m.say("#!-Linux host 6.1 #1 x86_64 - OSSEC HIDS v4.2.0\n" + m.sum + " merged.mg\n\n")
}

func (m *member) waitAnswer() bool {
	select {
	case <-m.has:
		return true
	case <-time.After(program.WaitLimit):
		return false
	}
}

func (m *member) run() {
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return
		}
		f, err := proto.ParseFrame(buf[:n])
		if err != nil {
			m.t.Error(err)
			return
		}
		o := m.openers.Get().(*proto.Opener)
		message, err := o.Open(m.cipher, f, m.e.Dialect)
		if err != nil {
			m.t.Error(err)
			return
		}
		m.take(message.Payload)
		m.openers.Put(o)
	}
}

func (m *member) take(payload []byte) {
	switch kind, rest := proto.ParseFromManager(payload); kind {
	case proto.ManagerAck:
		select {
		case m.has <- struct{}{}:
		default:
		}
	case proto.ManagerUpFile:
		m.coming, _, _ = proto.ParseUpFile(rest)
		m.file = m.file[:0]
	case proto.ManagerChunk:
		m.file = append(m.file, rest...)
	case proto.ManagerCloseFile:
		sum := md5.Sum(m.file)
		if hex.EncodeToString(sum[:]) != m.coming {
			m.spoiled.Add(1)
			m.report()
			return
		}
		m.sum, m.file = m.coming, nil
		m.report()
		if m.counting.Load() {
			m.done <- struct{}{}
		}
	}
}
