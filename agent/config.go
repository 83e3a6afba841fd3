package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ossecd/agent/collector"
	"ossecd/agent/response"
	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/agent/transport"
	"ossecd/agent/udp"
	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/durable/queue"
	"ossecd/keys/metrics"
	"ossecd/keys/setting"
	"ossecd/proto"
)

// What the protocol prescribes, or the stock agent does (docs/protocol.md, "Timing").
const (
	defaultNotify = 5 * time.Minute
	minFailBack   = time.Second
	minNotify     = 100 * time.Millisecond // keepalives are no way of sending data

	// missedKeepalives is how many intervals of silence make the manager gone where TimeReconnect is not set.
	missedKeepalives = 3

	// maxEventWazuh leaves room for the case that an event does not compress at all: sealed, it must fit a
	// datagram of IPv4.
	maxEventWazuh = 65_000
)

// Defaults of flags.
const (
	defaultSpool     = 256 // MB
	defaultSpoolSync = 5 * time.Second
	defaultProbe     = 5 * time.Second
	defaultShare     = 50 // percent
	defaultResend    = 10_000
	defaultFailBack  = 10 * time.Minute
)

// Config says what an agent does. The zero value of a field has the default named there, if any.
type Config struct {
	Keys     string   // path of the file with the one key line, or with an export of it
	KeyText  string   // the same as text; if not empty, Keys is not used
	State    string   // directory of all that must outlive the process; made where it is missing
	Managers []string // [udp://|tcp://]HOST[:PORT], at least one. The port is 1514 if not given; without a scheme it is UDP, or TCP with proto.Wazuh

	// AllManagers sends every event to each manager; it needs a spool, which holds what the slowest has not taken. Otherwise
	// the managers are tried in turn, and after about FailBack with another than the first, that one is looked for; 0 stays.
	AllManagers bool
	FailBack    time.Duration
	LocalAddr   string // ADDRESS or ADDRESS:PORT of this host that is sent from; default: as the system chooses

	// OssecHome is the install directory of a stock agent in place of whose agent daemon we run, or empty. Its counters, its local
	// queue, its shared files and its programs for active responses are used.
	OssecHome string
	Method    proto.Method  // default proto.Blowfish, which every manager understands
	Dialect   proto.Dialect // default proto.OSSEC

	// NotifyTime is the interval of keepalives, default 5 minutes, at least 100 ms. TimeReconnect is the silence after
	// which the manager is gone, default 3 × NotifyTime. Where it is not longer than NotifyTime, keepalives are sent
	// at a third of it: else a manager that answers all of them would seem gone.
	NotifyTime    time.Duration
	TimeReconnect time.Duration

	Intake
	Delivery

	// HTTPListen is where metrics and health are served over HTTP; empty for nowhere. HTTPTokenFile has the token for metrics, or is empty.
	HTTPListen    string
	HTTPTokenFile string

	ExitWhenIdle bool   // end once all sources are idle and a keepalive sent after the last event is answered
	Version      string // of this program, as the manager shows it

	// Dial makes a connected datagram socket, or for "tcp" a stream; network is else "udp" or "udp4". It is called anew for each attempt to
	// reach a manager, so that names are resolved anew. Default: those of the system.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Intake says what is read, and what of it a manager decides.
type Intake struct {
	Files     []string         // paths and globs of log files to follow
	FromStart bool             // files met for the first time are read from their beginning
	Tables    []*setting.Table // each one [[agent.source]] of the configuration file
	// ActiveResponse is the table [agent.active_response]; nil: none is obeyed.
	ActiveResponse *setting.Table
	// PushedSources has [[agent.source]] of an ossecd.toml that the first manager pushes run, too: files and journals, and
	// commands with PushedCommands.
	PushedSources  bool
	PushedCommands bool
	// Sources are run beside those for Files and Tables.
	Sources []source.Source
}

// Delivery says how events are kept and sent.
type Delivery struct {
	// SpoolSize is how many bytes of events are kept on disk while no manager takes them; 0 keeps none, and sources wait
	// meanwhile. When it is full, sources wait, or the oldest events are lost with SpoolDropOldest. SpoolSync is how old
	// events get at most before they are forced to the disk; 0 leaves that to the system.
	SpoolSize       int64
	SpoolDropOldest bool
	SpoolSync       time.Duration
	// SourceShare is how much of the spool one source may fill where there are several, in percent; 0 and 100 set no bound.
	// Where the oldest make room, there is none.
	SourceShare int
	// Rate is how many events a second each manager gets at most, 0 for no limit; Burst how many at once after a pause,
	// default Rate.
	Rate, Burst int
	// ProbeInterval is when a keepalive is sent after an event, so that its answer tells that the event arrived; 0 waits
	// for the next one of NotifyTime. ResendMax is how many events that no answer covered are sent again after a manager
	// was lost. Both are of use with a spool only.
	ProbeInterval time.Duration
	ResendMax     int
}

// withDefaults fills in the defaults.
func (c Config) withDefaults() Config {
	if c.Method == 0 {
		c.Method = proto.Blowfish
	}
	if c.Dialect == 0 {
		c.Dialect = proto.OSSEC
	}
	if c.NotifyTime == 0 {
		c.NotifyTime = defaultNotify
	}
	if c.TimeReconnect == 0 {
		c.TimeReconnect = missedKeepalives * c.NotifyTime
	}
	if c.TimeReconnect <= c.NotifyTime {
		c.NotifyTime = c.TimeReconnect / missedKeepalives
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Dial == nil {
		at, _ := c.localAddress() // Validate says what is wrong with it
		c.Dial = transport.From(at)
	}
	return c
}

// Validate reports all faults at once. It reads no file.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	c = c.withDefaults()
	if c.Keys == "" && c.KeyText == "" {
		fault("keys: no file given; name the file with this agent's key line")
	}
	if c.State == "" {
		fault("state: no directory given; name one that this user may write to")
	}
	if err := metrics.Validate(c.HTTPListen, c.HTTPTokenFile); err != nil {
		faults = append(faults, err)
	}
	if len(c.Managers) == 0 {
		fault("manager: none given; name at least one as HOST or HOST:PORT")
	}
	seen := map[string]bool{}
	for _, m := range c.Managers {
		a, err := transport.Parse(m, transport.BareNetwork(c.Dialect))
		switch {
		case err != nil:
			faults = append(faults, err)
		case seen[a.HostPort]:
			fault("manager: %q is listed twice; name each manager once", m)
		}
		seen[a.HostPort] = true
	}
	if len(c.Files) == 0 && len(c.Tables) == 0 && len(c.Sources) == 0 && !c.PushedSources && c.OssecHome == "" {
		fault("file: nothing to follow; name at least one log file or glob, or another [[agent.source]]")
	}
	for _, f := range c.Files {
		if _, err := filepath.Match(f, ""); err != nil || f == "" {
			fault("file: %q is not a path or glob; check that each [ has its ], and write [[] for a [ that stands in the name itself", f)
		}
	}
	sources := c.collector()
	sources.Files = nil // of which each fault was told
	_, err := sources.Make(slog.New(slog.DiscardHandler))
	_, err2 := c.responses(slog.New(slog.DiscardHandler))
	faults = append(faults, err, err2)
	if c.PushedCommands && !c.PushedSources {
		fault("pushed-commands: goes with pushed-sources, which turns on sources from the manager")
	}
	if c.Method != proto.Blowfish && c.Method != proto.AES {
		fault("crypto: unknown; use blowfish or aes")
	}
	if c.Dialect != proto.OSSEC && c.Dialect != proto.Wazuh {
		fault("dialect: unknown; use ossec or wazuh")
	}
	if c.SpoolSize != 0 && c.SpoolSize < queue.MinLimit {
		fault("spool-size: %s is too little; use 1 MB or more, or 0 for none", setting.FormatSize(c.SpoolSize))
	}
	if c.SpoolSync < 0 || c.ProbeInterval < 0 || c.ProbeInterval > 0 && c.ProbeInterval < minNotify {
		fault("spool-sync, probe-interval: %v and %v; use 0, or durations from %v on", c.SpoolSync, c.ProbeInterval, minNotify)
	}
	if c.AllManagers && c.SpoolSize == 0 {
		fault("mode: all needs a spool, since one manager may be slower than another; give spool-size, or use first")
	}
	if c.FailBack < 0 || c.FailBack > 0 && c.FailBack < minFailBack {
		fault("fail-back: %v; use %v or more, or 0 to stay with the manager that answers", c.FailBack, minFailBack)
	}
	if _, err := c.localAddress(); err != nil {
		faults = append(faults, err)
	}
	if c.SourceShare < 0 || c.SourceShare > 100 {
		fault("source-share: %d; use a percentage from 1 to 100", c.SourceShare)
	}
	if c.Rate < 0 || c.Burst < 0 || c.Burst > 0 && c.Rate == 0 {
		fault("rate, burst: %d and %d; use events a second, and with it how many at once", c.Rate, c.Burst)
	}
	if c.ResendMax < 0 {
		fault("resend-max: %d is negative; use 0 to send nothing twice", c.ResendMax)
	}
	if c.NotifyTime < minNotify {
		fault("notify-time: %v is too short; use %v or more, and for time-reconnect 3 times that or more", c.NotifyTime, minNotify)
	}
	return errors.Join(faults...)
}

// maxEvent is the longest "QUEUE:LOCATION:MESSAGE" that the agent sends.
func (c *Config) maxEvent() int {
	if c.Dialect == proto.Wazuh {
		return maxEventWazuh
	}
	return proto.MaxMessageOSSEC
}

// collector is what the configuration says of sources.
func (c *Config) collector() collector.Config {
	return collector.Config{
		State: c.State, Files: c.Files, FromStart: c.FromStart, Tables: c.Tables, Made: c.Sources,
		StockQueue: c.inStock(stockQueue), MaxEvent: c.maxEvent(), Finish: c.ExitWhenIdle,
	}
}

// responses makes what obeys orders for active responses, nil where that is not enabled.
func (c *Config) responses(log *slog.Logger) (*response.Source, error) {
	return response.FromTable(c.ActiveResponse, response.Config{
		Dir: c.inStock(stockResponses), Names: filepath.Join(c.sharedDir(), "ar.conf"), State: filepath.Join(c.State, "active-responses.json"), Log: log,
	})
}

// checkHost says what this host lacks for what the configuration asks for.
func (c *Config) checkHost() error {
	sources := c.collector()
	faults := []error{c.checkStock(), sources.Check()}
	if r, err := c.responses(slog.New(slog.DiscardHandler)); err == nil && r != nil {
		faults = append(faults, c.ActiveResponse.Place(r.Check()))
	}
	return errors.Join(faults...)
}

// loadKey is the agent's key.
func (c *Config) loadKey() (key keys.Key, warnings []error, err error) {
	if c.KeyText == "" {
		return keys.LoadOne(c.Keys)
	}
	if key, err = keys.ParseLine(strings.TrimSpace(c.KeyText)); err == nil {
		return key, nil, nil
	}
	if key, err = keys.ParseExport(c.KeyText); err != nil {
		return key, nil, fmt.Errorf("%s: %w; put there what ossecd keygen export or show prints on the manager", keyEnv, err)
	}
	return key, nil, nil
}

// mayTakeKey says whether a new key can be taken up: it must be kept, and known to the only manager.
func (c *Config) mayTakeKey() bool {
	return len(c.Managers) == 1 && c.KeyText == "" && durable.CanReplace(c.Keys) == nil
}

// openSpool opens the spool, if there is to be one.
func (c *Config) openSpool(log *slog.Logger) (*spool.Spool, error) {
	if c.SpoolSize == 0 {
		return nil, nil
	}
	return spool.Open(queue.Config{Dir: filepath.Join(c.State, "spool"), Limit: c.SpoolSize, DropOldest: c.SpoolDropOldest, Sync: c.SpoolSync, Readers: c.readers(), Log: log})
}

// shareOf is how many bytes of the spool one of so many sources may fill, 0 for no bound.
func (c *Config) shareOf(sources int) int64 {
	if sources < 2 || c.SpoolDropOldest || c.SourceShare == 100 {
		return 0
	}
	return c.SpoolSize / 100 * int64(c.SourceShare)
}

// cores is how many cores an agent uses at most: nearly all that is to be done for a manager is done by one goroutine, and to have a core
// woken for the little that another one does costs more than to do it here.
func (c *Config) cores() int { return min(runtime.GOMAXPROCS(0), max(len(c.readers()), 1)) }

// readers names the readers of the spool: none but the one that has no name, or with AllManagers one for each manager.
func (c *Config) readers() (names []string) {
	if !c.AllManagers {
		return nil
	}
	for _, a := range c.addresses() {
		names = append(names, url.QueryEscape(a.HostPort))
	}
	return names
}

// localAddress is what LocalAddr says, nil where it says nothing.
func (c *Config) localAddress() (*net.UDPAddr, error) {
	at, err := udp.ParseLocal(c.LocalAddr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("local-addr: %w", err)
	case at != nil && at.Port != 0 && len(c.Managers) > 1 && (c.AllManagers || c.FailBack > 0):
		return nil, fmt.Errorf("local-addr: the port %d is for one socket, and several managers take more at times; leave it out, or use mode first with fail-back 0", at.Port)
	}
	return at, nil
}

// addresses are those of all managers. Validate says what is wrong with them.
func (c *Config) addresses() []transport.Address {
	all := make([]transport.Address, len(c.Managers))
	for i, m := range c.Managers {
		all[i], _ = transport.Parse(m, transport.BareNetwork(c.Dialect))
	}
	return all
}

// dialer makes sockets to the managers from this place in Managers on.
func (c *Config) dialer(first int) func(ctx context.Context, manager, pass int) (net.Conn, error) {
	addresses, dialer := c.addresses()[first:], transport.Dialer(c.Dial)
	return func(ctx context.Context, manager, pass int) (net.Conn, error) {
		return dialer.To(ctx, addresses[manager], pass)
	}
}
