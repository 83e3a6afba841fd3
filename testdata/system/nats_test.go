package system

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/testdata/program"
)

// natsServer is the program nats-server, of which tests run several, and kill some.
func natsServer() {
	fs := flag.NewFlagSet("nats-server", flag.ExitOnError)
	opts, err := server.ConfigureOptions(fs, os.Args[1:], func() {}, fs.Usage, func() {})
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s, err := server.NewServer(opts)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		server.PrintAndDie(err.Error())
	}
	s.WaitForShutdown()
}

// cluster is three NATS servers, each a process of its own.
type cluster struct {
	t       *testing.T
	dir     string
	clients []string // addresses
	nodes   []*program.Process
	labels  map[string]int // of agents, in what drain has read
}

func startCluster(t *testing.T, dir string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: dir, nodes: make([]*program.Process, 3), labels: make(map[string]int)}
	ports := freePorts(t, 6)
	var routes []string
	for _, p := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	for i := range c.nodes {
		c.clients = append(c.clients, fmt.Sprintf("127.0.0.1:%d", ports[i]))
		text := fmt.Sprintf("server_name: n%d\nlisten: %q\njetstream { store_dir: %q }\ncluster { name: test, listen: \"127.0.0.1:%d\", routes: [%s] }\n",
			i, c.clients[i], filepath.Join(dir, fmt.Sprintf("store%d", i)), ports[3+i], strings.Join(routes, ", "))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("n%d.conf", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start(i)
	}
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	name := fmt.Sprintf("n%d", i)
	var err error
	if c.nodes[i], err = program.Start("nats-server", c.dir, name, os.Environ(), "-c", name+".conf"); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.nodes[i].Kill)
}

// urls are those of all servers.
func (c *cluster) urls() string { return "nats://" + strings.Join(c.clients, ",nats://") }

// freePorts are ports that nobody listens on.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// jetStream is a test's own view of the cluster, once most of its servers agree.
func (c *cluster) jetStream() jetstream.JetStream {
	c.t.Helper()
	nc, err := nats.Connect(c.urls(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	c.eventually(func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return err
	})
	return js
}

// eventually tries until something works.
func (c *cluster) eventually(try func(ctx context.Context) error) {
	c.t.Helper()
	for end := time.Now().Add(2 * program.WaitLimit); ; {
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			c.t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// drain reads a whole stream: how often there is each text, and each message ID.
func (c *cluster) drain(s jetstream.Stream) (texts, ids map[string]int) {
	c.t.Helper()
	texts, ids = make(map[string]int), make(map[string]int)
	var last uint64
	c.eventually(func(ctx context.Context) error {
		info, err := s.Info(ctx)
		if err == nil {
			last = info.State.LastSeq
		}
		return err
	})
	seq := uint64(0)
	c.eventually(func(ctx context.Context) error {
		consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: seq + 1, InactiveThreshold: time.Minute})
		if err != nil {
			return err
		}
		for seq < last {
			batch, err := consumer.Fetch(int(min(last-seq, 5000)), jetstream.FetchMaxWait(2*time.Second))
			if err != nil {
				return err
			}
			before := seq
			for m := range batch.Messages() {
				meta, err := m.Metadata()
				if err != nil {
					return err
				}
				seq = meta.Sequence.Stream
				ids[m.Headers().Get(nats.MsgIdHdr)]++
				var line struct {
					Agent struct {
						Labels json.RawMessage `json:"labels"`
					} `json:"agent"`
					FullLog string `json:"full_log"`
				}
				if err := json.Unmarshal(m.Data(), &line); err != nil {
					return err
				}
				texts[line.FullLog]++
				c.labels[string(line.Agent.Labels)]++
			}
			if seq == before {
				return fmt.Errorf("no messages after %d of %d: %w", seq, last, batch.Error())
			}
		}
		return nil
	})
	return texts, ids
}

// One of three servers and then the manager are killed under 5,000 events a second. What the stream ever had it has at the
// end, each event once; and while the manager lives all that it received arrives.
func TestKilledNATSServerAndManager(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	c := startCluster(t, dir)
	js := c.jetStream()
	events := filepath.Join(dir, "events.json")
	config := "[manager]\nkeys = \"client.keys\"\nstate = \"m\"\nevents = \"events.json\"\n[[manager.sink]]\ntype = \"nats\"\nservers = [\"nats://" +
		strings.Join(c.clients, `", "nats://`) + "\"]\nstream = \"OSSEC\"\nreplicas = 3\n"
	if err := os.WriteFile(filepath.Join(dir, "ossecd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:0"
	startManager := func() *program.Process {
		d := runDaemon(t, dir, "manager", "manager", "--config", "ossecd.toml", "--listen", listen)
		listen = string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])
		return d
	}
	load := func(name string, count int) *program.Process {
		return runDaemon(t, dir, "load", "send-test", "--keys", "client.keys", "--manager", listen, "--count", fmt.Sprint(count), "--rate", "5000", name)
	}
	// all waits until the sink has what the file has.
	all := func(name string, count int) {
		waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"%s \d+"`, name)), count)
		c.eventually(func(ctx context.Context) error {
			s, err := js.Stream(ctx, "OSSEC")
			if err != nil {
				return err
			}
			if have := s.CachedInfo().State.Msgs; have < uint64(count) {
				return fmt.Errorf("%d messages of %d", have, count)
			}
			return nil
		})
	}
	manager := startManager()

	const count = 10_000
	first := load("first", count)
	waitForFile(t, events, regexp.MustCompile(`"first \d+"`), count/5)
	var stream jetstream.Stream
	c.eventually(func(ctx context.Context) (err error) {
		stream, err = js.Stream(ctx, "OSSEC")
		return err
	})
	leader := int(stream.CachedInfo().Cluster.Leader[1] - '0')
	c.nodes[leader].Kill()
	all("first", count)
	first.Wait(program.WaitLimit)
	c.start(leader)

	second := load("second", 1_000_000)
	waitForFile(t, events, regexp.MustCompile(`"second \d+"`), count/5)
	manager.Kill()
	second.Kill()
	before, _ := c.drain(stream)

	startManager()
	third := load("third", count)
	all("third", count)
	third.Wait(program.WaitLimit)
	c.eventually(func(context.Context) error {
		texts, _ := c.drain(stream)
		for i := range count {
			if texts[fmt.Sprintf("third %d", i+1)] == 0 {
				return fmt.Errorf("third %d is not there", i+1)
			}
		}
		return nil
	})

	after, ids := c.drain(stream)
	received := countMatches(t, events, regexp.MustCompile(`"full_log":"((?:first|second|third) [0-9]+)"`))
	lost, killed := 0, 0
	for text := range received {
		switch {
		case after[text] > 0:
		case strings.HasPrefix(text, "second"):
			killed++
		default:
			lost++
		}
	}
	for text := range before {
		if after[text] == 0 {
			t.Errorf("%q was there and is not", text)
		}
	}
	twice := 0
	for text, n := range after {
		if n > 1 && strings.Contains(text, " ") && received[text] > 0 {
			twice++
		}
	}
	for id, n := range ids {
		if n > 1 || id == "" {
			t.Errorf("message ID %q is there %d times", id, n)
		}
	}
	if lost > 0 || twice > 0 {
		t.Errorf("%d events are lost, %d are there twice", lost, twice)
	}
	t.Logf("%d events in a file, %d in the stream; %d were in the memory of the manager when it was killed", len(received), len(after), killed)
}

// What waits for a sink whose server is away survives a kill of the manager, and a stop, and is delivered when the server is
// there, each event once, with its agent's labels.
func TestEventsWaitOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	c := &cluster{t: t, dir: dir, clients: []string{fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])}, nodes: make([]*program.Process, 1), labels: make(map[string]int)}
	if err := os.WriteFile(filepath.Join(dir, "n0.conf"), fmt.Appendf(nil, "listen: %q\njetstream { store_dir: %q }\n", c.clients[0], filepath.Join(dir, "store")), 0o600); err != nil {
		t.Fatal(err)
	}
	config := "[manager]\nkeys = \"client.keys\"\nstate = \"m\"\nevents = \"events.json\"\n[[manager.sink]]\ntype = \"nats\"\nname = \"to nats\"\nservers = [\"" + c.urls() + "\"]\nstream = \"OSSEC\"\n" +
		"[[manager.group]]\nname = \"all\"\nagents = [\"*\"]\nlabels = { site = \"fra1\" }\n"
	if err := os.WriteFile(filepath.Join(dir, "ossecd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(dir, "events.json")
	const count = 2000
	send := func(name string) *program.Process {
		d := runDaemon(t, dir, "manager", "manager", "--config", "ossecd.toml", "--listen", "127.0.0.1:0")
		addr := string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])
		load := runDaemon(t, dir, "load", "send-test", "--keys", "client.keys", "--manager", addr, "--count", fmt.Sprint(count), "--rate", "5000", name)
		waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"%s \d+"`, name)), count)
		load.Wait(program.WaitLimit)
		return d
	}
	killed := send("killed")
	killed.Kill()
	stopped := send("stopped")
	stopped.Cmd.Process.Signal(syscall.SIGTERM)
	if !stopped.Wait(program.WaitLimit) || stopped.Cmd.ProcessState.ExitCode() != 0 {
		log, _ := os.ReadFile(filepath.Join(dir, "manager.err"))
		t.Fatalf("it does not end well: %v\n%s", stopped.Cmd.ProcessState, log)
	}
	c.start(0)
	js := c.jetStream()
	send("last")
	var texts, ids map[string]int
	c.eventually(func(ctx context.Context) error {
		s, err := js.Stream(ctx, "OSSEC")
		if err != nil {
			return err
		}
		texts, ids = c.drain(s)
		for _, name := range []string{"killed", "stopped", "last"} {
			for i := range count {
				if texts[fmt.Sprintf("%s %d", name, i+1)] != 1 {
					return fmt.Errorf("%s %d is there %d times", name, i+1, texts[fmt.Sprintf("%s %d", name, i+1)])
				}
			}
		}
		return nil
	})
	for id, n := range ids {
		if n != 1 {
			t.Errorf("message ID %q is there %d times", id, n)
		}
	}
	if n := c.labels[`{"site":"fra1"}`]; n < 3*count || len(c.labels) != 1 {
		t.Errorf("labels of events: %v", c.labels)
	}
}
