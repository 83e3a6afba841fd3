// Package sendtest is the command "ossecd send-test". It speaks to a manager as one agent, step by step, and explains what goes
// wrong; or as many agents, to put load on the manager.
package sendtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/agent/transport"
	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/named"
	"ossecd/keys/setting"
	"ossecd/proto"
	"ossecd/proto/printable"
)

const (
	defaultLocation = "send-test"
	defaultTimeout  = 10 * time.Second

	maxAgents = 100_000
	maxCount  = 1_000_000_000
	maxRate   = 10_000_000
)

const description = `send-test speaks to a manager as an agent would. It says hello, waits for the answer, sends MESSAGE as an event, and asks
with a keepalive whether the manager still answers. It prints each step, and if one fails, what to check next.

Use a key made for tests. Without --state, send-test counts its messages from the clock: a stock agent with the same key is then refused
until its own count is higher. With --state DIR it uses the counts of ossecd's agent, which must not run meanwhile.

With --agents or --count it puts load on the manager. It speaks as the agents of the first N lines of the keys file, which send the
events in turn, each with its number after MESSAGE. It sends keepalives between the events and waits for their answers, so as not to
overrun the manager. "acked" counts answers to keepalives and greetings; the protocol has no answers to events.

Examples:
   ossecd send-test --keys test.keys --manager 192.0.2.10 'hello from the test'
   ossecd send-test --keys client.keys --id 007 --manager manager.example:1514 --crypto aes
   ossecd send-test --keys client.keys --id 007 --manager tcp://wazuh.example --dialect wazuh --crypto aes
   ossecd send-test --keys client.keys --manager 127.0.0.1 --agents 100 --count 1000000 --rate 20000 --json`

// Command is "ossecd send-test".
func Command() *cli.Command {
	return &cli.Command{
		Name:        "send-test",
		Usage:       "send a test event, or load, to a manager, and see what comes back",
		Description: description,
		ArgsUsage:   "[MESSAGE]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "keys", Usage: "`FILE` with the key to use"},
			&cli.StringFlag{Name: "id", Usage: "`ID` or name of the agent to speak as; needed if the file has several"},
			&cli.StringFlag{Name: "manager", Usage: "`HOST[:PORT]` of the manager, port " + transport.DefaultPort + " by default; udp:// or tcp:// in front says how to send, otherwise UDP, or TCP with --dialect wazuh"},
			&cli.StringFlag{Name: "crypto", Value: "blowfish", Usage: "`CIPHER`: blowfish (understood by every OSSEC) or aes"},
			&cli.StringFlag{Name: "dialect", Value: "ossec", Usage: "`WHICH` form of the protocol the manager speaks: ossec or wazuh"},
			&cli.StringFlag{Name: "queue", Value: "1", Usage: "queue of the event, one `CHARACTER`; 1 is a log line"},
			&cli.StringFlag{Name: "location", Value: defaultLocation, Usage: "where the event says it comes from, usually the `PATH` of a file"},
			&cli.StringFlag{Name: "state", Usage: "use the message counts in the state `DIR` of ossecd's agent"},
			&cli.DurationFlag{Name: "timeout", Value: defaultTimeout, Usage: "how `LONG` to go on asking for an answer"},
			&cli.IntFlag{Name: "agents", Value: 1, Usage: "load: speak as the agents of the first `N` keys"},
			&cli.IntFlag{Name: "count", Value: 1, Usage: "load: `N` events in all"},
			&cli.Float64Flag{Name: "rate", Usage: "load: `EVENTS` a second, evenly spread; 0 is as fast as possible"},
			&cli.BoolFlag{Name: "json", Usage: "print the outcome as one JSON object"},
		},
		Action: action,
	}
}

// target is the manager and how to speak to it.
type target struct {
	address transport.Address
	method  proto.Method
	dialect proto.Dialect
	timeout time.Duration
}

// job is what the command line asks for.
type job struct {
	target
	keys     []keys.Key // the agents to speak as, at least one
	queue    byte
	location string
	message  string
	state    string // directory, or empty
	load     bool
	count    int     // events in all
	rate     float64 // a second; 0 is no limit
	json     bool
}

func action(c *cli.Context) error {
	j, err := parse(c)
	if err != nil {
		return cli.Exit(err.Error(), 2)
	}
	if err := j.findKeys(c); err != nil {
		return err
	}
	makeCounts := func() (counts, error) { return newClock(time.Now()) }
	if j.state != "" {
		lock, err := durable.LockDir(j.state)
		if err != nil {
			return fmt.Errorf("the agent's counters cannot be used: %w", err)
		}
		defer lock.Unlock()
		sender, err := keys.OpenSender(filepath.Join(j.state, "rids"))
		if err != nil {
			return err
		}
		defer func() {
			if err := sender.Close(); err != nil {
				fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", printable.Text(err.Error()))
			}
		}()
		makeCounts = func() (counts, error) { return sender, nil }
	} else if !j.json {
		fmt.Fprintf(c.App.ErrWriter, "warning: counting from the clock. A stock agent with the same key will be refused until its own count has passed\n"+
			"%d; use a key made for tests, or --state DIR for an ossecd agent's own counters\n", time.Now().Unix())
	}
	if j.load {
		return runLoad(c.Context, j, c.App.Writer, c.App.ErrWriter, makeCounts)
	}
	return runOnce(c.Context, j, c.App.Writer, makeCounts)
}

// parse reads the flags and reports all that is wrong with them.
func parse(c *cli.Context) (*job, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	j := &job{
		target:   target{timeout: c.Duration("timeout")},
		location: c.String("location"), state: c.String("state"),
		load:  c.IsSet("agents") || c.IsSet("count") || c.IsSet("rate"),
		count: c.Int("count"), rate: c.Float64("rate"), json: c.Bool("json"),
		message: cmp.Or(c.Args().First(), defaultMessage()),
	}
	if c.NArg() > 1 {
		fault("there are %d arguments, and MESSAGE is one: quote it, and write flags before it", c.NArg())
	}
	if c.String("keys") == "" {
		fault("--keys is missing: name the keys file, as in --keys client.keys")
	}
	var err error
	if j.method, err = setting.Choice(c, "crypto", []string{"blowfish", "aes"}, proto.Blowfish, proto.AES); err != nil {
		fault("--%w", err)
	}
	if j.dialect, err = setting.Choice(c, "dialect", []string{"ossec", "wazuh"}, proto.OSSEC, proto.Wazuh); err != nil {
		fault("--%w", err)
	}
	if c.String("manager") == "" {
		fault("--manager is missing: name the manager, as in --manager 192.0.2.10")
	} else if j.address, err = transport.Parse(c.String("manager"), transport.BareNetwork(j.dialect)); err != nil {
		faults = append(faults, fmt.Errorf("--%w", err))
	}
	if q := c.String("queue"); len(q) != 1 || q[0] <= ' ' || q[0] > '~' || q[0] == ':' {
		fault("--queue %q is not one character: use 1 for a log line", q)
	} else {
		j.queue = q[0]
	}
	if j.timeout <= 0 {
		fault("--timeout %v is too short: use a duration such as 10s", j.timeout)
	}
	if n := c.Int("agents"); n < 1 || n > maxAgents {
		fault("--agents %d is out of range: use 1 to %d", n, maxAgents)
	} else if n > 1 && c.IsSet("id") {
		fault("--id chooses one agent and --agents several: use one of them")
	} else if n > 1 && j.state != "" {
		fault("--state has the counters of one agent: leave out --agents")
	}
	if j.count < 1 || j.count > maxCount {
		fault("--count %d is out of range: use 1 to %d", j.count, maxCount)
	}
	if !(j.rate >= 0 && j.rate <= maxRate) {
		fault("--rate %v is out of range: use 0 to %d", j.rate, maxRate)
	}
	if j.state != "" {
		if info, err := os.Stat(j.state); err != nil {
			fault("--state: %w; name the state directory of an agent", err)
		} else if !info.IsDir() {
			fault("--state: %q is not a directory; name the state directory of an agent", j.state)
		}
	}
	longest := len("1::") + len(j.location) + len(j.message) + len(" ") + len(strconv.Itoa(maxCount))
	if most := proto.MaxMessage(j.dialect); longest > most {
		fault("MESSAGE and location are too long: %d bytes are the most", most-len("1::"))
	}
	return j, errors.Join(faults...)
}

// findKeys loads the keys of the agents to speak as.
func (j *job) findKeys(c *cli.Context) error {
	file := c.String("keys")
	set, faults, err := keys.Load(file)
	if err != nil {
		return fmt.Errorf("%w; name the file with the key to use", err)
	}
	tell := func() {
		for _, f := range faults {
			fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", printable.Text(f.Error()))
		}
	}
	want, id := c.Int("agents"), c.String("id")
	switch {
	case id != "":
		k, err := named.Find(set, id, file)
		if err != nil {
			tell()
			return err
		}
		j.keys = []keys.Key{k}
		return nil
	case len(set.Keys) < want:
		tell()
		return fmt.Errorf("%s has %d keys and %d are needed; ossecd keygen add NAME --keys %s makes one", file, len(set.Keys), want, file)
	case !c.IsSet("agents") && len(set.Keys) > 1:
		return cli.Exit(fmt.Sprintf("%s has %d keys: choose one with --id", file, len(set.Keys)), 2)
	}
	j.keys = set.Keys[:want]
	return nil
}

// about is what the agent says of its host.
var about = proto.Keepalive{
	Uname:      runtime.GOOS + " " + hostname() + " - - " + runtime.GOARCH,
	Program:    "ossecd send-test",
	Files:      []proto.FileSum{{Name: proto.MergedName}},
	NotifyTime: 10 * time.Minute,
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "unknown"
	}
	return name
}

func defaultMessage() string { return "ossecd send-test: hello from " + hostname() }
