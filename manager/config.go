package manager

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"ossecd/keys/metrics"
	"ossecd/keys/setting"
	"ossecd/manager/enroll"
	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/manager/stock"
	"ossecd/manager/syslog"
	"ossecd/proto"
)

// Config is what a manager is told.
type Config struct {
	Keys   string   // path of client.keys; the file may be empty or missing
	State  string   // directory of all that outlives the process; made if missing, held by one process
	Listen []string // "host:port", UDP, or with tcp:// in front TCP; port 0 picks one

	// Events is the file that event lines are appended to (made 0640), or "-" for standard output; it may be empty where
	// there are Sinks. Out, where it is not nil, is used instead.
	Events string
	Out    io.Writer
	// Sinks are further places for events: the tables [[manager.sink]].
	Sinks []*setting.Table

	// HTTPListen is where metrics and health are served over HTTP; empty for nowhere. HTTPTokenFile has the token for metrics, or is empty.
	HTTPListen    string
	HTTPTokenFile string

	// Control is the path of the control socket; empty for none.
	Control string
	// Shared is the directory of the files that agents of no group get, or empty; Groups are the tables [[manager.group]],
	Shared string
	Groups []*setting.Table
	// Syslog are the tables [[manager.syslog]].
	Syslog []*setting.Table
	// OssecHome is the install directory of a stock server in place of whose remote daemon we run, or empty. Its counters,
	// agent information, queues of events and of active responses are used.
	OssecHome string

	// DisconnectAfter is the silence after which an agent is reported; 0 goes by each agent's own keepalive
	// interval.
	DisconnectAfter time.Duration
	// RemindAfter is how often an agent that is away is reported again; 0 is never.
	RemindAfter time.Duration

	// Journal is where events wait for sinks.
	Journal Journal

	CryptoAccept string // "blowfish", "aes" or "any"

	// Enroll is how agents get keys by themselves; the manager fills in its own part of it.
	Enroll enroll.Config

	Version string // of this program, as the log tells it

	// Hangup asks, with each value, to read the keys at once. May be nil.
	Hangup <-chan os.Signal
	// Conns are sockets to use instead of opening those of Listen; for tests.
	Conns []listen.PacketConn
	// Ready is called, where it is not nil, with the addresses once the manager listens on them.
	Ready func([]netip.AddrPort)

	parsed
}

// Journal is what a Config says of the journal of events.
type Journal struct {
	Size int           // megabytes that it has at most; 0 is the default
	Keep time.Duration // how long events stay there when all sinks have them
	Sync time.Duration // how old events get at most before they are forced to the disk

	// QueueSize is how many megabytes of events may wait in memory while the disk takes none; AgentShare how much of them one agent may
	// fill, in percent. Past either, the newest events are lost, counted and reported. 0 is the default.
	QueueSize  int
	AgentShare int
}

// parsed is what Validate makes of a Config.
type parsed struct {
	accepts proto.Method // of CryptoAccept; 0 is any
	plans   []sink.Spec  // of Events, Out and Sinks
	groups  []fleet.Group
	syslog  []syslog.Input

	warnings []string // about what is still taken
}

// Defaults, as documented in the command's help.
const (
	DefaultKeys  = "/etc/ossecd/client.keys"
	DefaultState = "/var/lib/ossecd/manager"

	DefaultQueueSize  = 64
	DefaultAgentShare = 50

	maxQueueSize = 16 << 10

	DefaultJournalSize = 1024
	DefaultJournalSync = time.Second
	maxJournalSize     = 64 << 20 // MB

	leastRemindAfter = time.Minute
)

// DefaultListen is where a manager listens: stock OSSEC agents speak UDP, and Wazuh's TCP.
var DefaultListen = []string{"udp://:1514", "tcp://:1514"}

// Validate fills in defaults and reports every fault of the configuration at once, each with its key. It looks at
// nothing outside.
func (c *Config) Validate() error {
	c.warnings = nil
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Keys == "" {
		fault("keys: empty; name the keys file, as in --keys client.keys")
	}
	if c.State == "" {
		fault("state: empty; name a directory, as in --state /var/lib/ossecd/manager")
	}
	if len(c.Listen) == 0 && len(c.Conns) == 0 {
		fault("listen: none; give at least one host:port, as in --listen :1514")
	}
	seen := map[[2]string]bool{}
	for _, l := range c.Listen {
		network, address, err := listen.ParseAddress(l)
		switch {
		case err != nil:
			faults = append(faults, err)
		case seen[[2]string{network, address}] && !strings.HasSuffix(address, ":0"):
			fault("listen: %q is given twice; name each address once", l)
		}
		seen[[2]string{network, address}] = true
	}
	if err := metrics.Validate(c.HTTPListen, c.HTTPTokenFile); err != nil {
		faults = append(faults, err)
	}
	if c.DisconnectAfter < 0 {
		fault("disconnect_after: %v is negative; use auto, or a duration such as 15m", c.DisconnectAfter)
	}
	if c.RemindAfter != 0 && c.RemindAfter < leastRemindAfter {
		fault("remind_after: %v is too short; use %v or more, or 0 for no reminders", c.RemindAfter, leastRemindAfter)
	}
	j := &c.Journal
	j.QueueSize = cmp.Or(j.QueueSize, DefaultQueueSize)
	if j.QueueSize < 1 || j.QueueSize > maxQueueSize {
		fault("queue_size: %d MB is out of range; use 1 MB to %d GB", j.QueueSize, maxQueueSize>>10)
	}
	j.Size = cmp.Or(j.Size, DefaultJournalSize)
	if j.Size < 1 || j.Size > maxJournalSize {
		fault("journal_size: %d MB is out of range; use 1 MB to %d TB", j.Size, maxJournalSize>>20)
	}
	if j.Keep < 0 || j.Sync < 0 {
		fault("journal_keep, journal_sync: %v and %v; use 0 or durations such as 24h and 1s", j.Keep, j.Sync)
	}
	j.AgentShare = cmp.Or(j.AgentShare, DefaultAgentShare)
	if j.AgentShare < 1 || j.AgentShare > 100 {
		fault("agent_share: %d is out of range; use 1 to 100 (percent)", j.AgentShare)
	}
	var err error
	if c.plans, err = c.planSinks(); err != nil {
		faults = append(faults, err)
	}
	if c.groups, err = fleet.ParseGroups(c.Groups); err != nil {
		faults = append(faults, err)
	}
	var warnings []string
	if c.syslog, warnings, err = syslog.ParseTables(c.Syslog); err != nil {
		faults = append(faults, err)
	}
	c.warnings = append(c.warnings, warnings...)
	switch c.CryptoAccept {
	case "any", "":
		c.accepts = 0
	case "blowfish":
		c.accepts = proto.Blowfish
	case "aes":
		c.accepts = proto.AES
	default:
		fault("crypto_accept: %q is unknown; use blowfish, aes or any", c.CryptoAccept)
	}
	return errors.Join(append(faults, c.Enroll.Validate())...)
}

// stock is the layout of the stock server in whose place we run.
func (c *Config) stock() stock.Layout { return stock.Layout(c.OssecHome) }

// enrolment is the configuration of enrolment but for what a running manager does for it.
func (c *Config) enrolment() enroll.Config {
	e := c.Enroll
	e.Keys, e.Dir = c.Keys, enroll.Dir(c.State)
	return e
}

// parseDisconnectAfter reads "auto" or a duration.
func parseDisconnectAfter(s string) (time.Duration, error) {
	if s == "auto" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("disconnect_after: %q is not a waiting time; use auto, or a duration such as 15m", s)
	}
	return d, nil
}
