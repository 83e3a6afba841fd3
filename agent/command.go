package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/agent/transport"
	"ossecd/keys/setting"
	"ossecd/proto"
	"ossecd/proto/printable"
)

const description = `The agent follows log files and sends their lines to a manager: ossecd, an OSSEC server, or a Wazuh manager. While no manager answers, the agent keeps what it reads on disk, up to --spool-size, and sends it later.

Examples:
   ossecd agent --manager 192.0.2.10 --file '/var/log/*.log'
   ossecd agent --keys agent.keys --state ./state --manager 192.0.2.10 --file /var/log/syslog
   ossecd agent --manager mgr1.example.net --manager mgr2.example.net:1514 --file /var/log/syslog --crypto aes
   ossecd agent --manager tcp://mgr.example.net --dialect wazuh --crypto aes --file /var/log/syslog
   ossecd agent --config /etc/ossecd/ossecd.toml --check
   ossecd agent --ossec-home /var/ossec --manager 192.0.2.10    in place of a stock agent's daemon

The agent can also read the output of commands, systemd's journal, the Windows Event Log, syslog from the network, and a stock agent's
local queue. Each of these is a table [[agent.source]] in the TOML file (docs/sources.md).

The agent needs a key from the manager. Print it there with "ossecd keygen export ID", and paste it here into
"ossecd keygen import - --keys FILE". In a container, put the printed text into the environment variable OSSECD_AGENT_KEY, or into a
secret file that --keys names. Or let the agent get a key by itself at its first start, with a token (ossecd keygen token add):

   ossecd agent --enroll 192.0.2.10 --enroll-token-file token.txt --manager 192.0.2.10 --file '/var/log/*.log'`

// Command is "ossecd agent". Its action expects slog's default logger to be set, and a context that ends when the
// process is to stop; the keepalives say the App's version.
func Command() *cli.Command {
	return &cli.Command{
		Name:        "agent",
		Usage:       "follow log files and send them to a manager",
		ArgsUsage:   " ",
		Description: description,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "read the configuration and the key, report every fault, and exit with 0 or 2"},
			&cli.StringFlag{Name: "keys", Value: "/etc/ossecd/agent.keys", Usage: "`FILE` with this agent's key, one line"},
			&cli.StringFlag{Name: "state", Value: "/var/lib/ossecd/agent", Usage: "`DIR` for message counts, file positions, the spool and shared files; used by one process at a time"},
			&cli.StringSliceFlag{Name: "manager", Usage: "`HOST[:PORT]` of a manager, port " + transport.DefaultPort + " by default; udp:// or tcp:// in front says how to send, otherwise UDP, or TCP with --dialect wazuh; can be repeated: they are tried in turn, but see --mode"},
			&cli.StringFlag{Name: "mode", Value: "first", Usage: "`WHICH` managers get the events: first (the first that answers) or all (each of them)"},
			&cli.DurationFlag{Name: "fail-back", Value: defaultFailBack, Usage: "after this `TIME` with another manager, try the first one again, and return to it; 0 never does"},
			&cli.StringFlag{Name: "local-addr", Usage: "`ADDRESS[:PORT]` of this host to send from", DefaultText: "as the system chooses"},
			&cli.StringSliceFlag{Name: "file", Usage: "log files to follow: a path or `GLOB`; can be repeated"},
			&cli.GenericFlag{Name: "source", Hidden: true, Value: &setting.Tables{}},
			&cli.GenericFlag{Name: "active-response", Hidden: true, Value: &setting.Tables{One: true}},
			&cli.StringFlag{Name: "ossec-home", Usage: "`DIR` of a stock agent whose agent daemon this replaces: keys, counters, local queue, shared files and active responses are there (docs/dropin.md)"},
			&cli.BoolFlag{Name: "pushed-sources", Usage: "also run the sources that the manager pushes in a shared file ossecd.toml: log files, systemd's journal and the Event Log"},
			&cli.BoolFlag{Name: "pushed-commands", Usage: "with --pushed-sources: also run pushed commands. The manager can then run anything as this user"},
			&cli.StringFlag{Name: "crypto", Value: "blowfish", Usage: "`CIPHER`: blowfish (every OSSEC and Wazuh) or aes (OSSEC 4.0 and later, Wazuh)"},
			&cli.StringFlag{Name: "dialect", Value: "ossec", Usage: "`WHICH` form of the protocol the manager speaks: ossec or wazuh"},
			&cli.DurationFlag{Name: "notify-time", Value: defaultNotify, Usage: "`INTERVAL` between keepalives"},
			&cli.DurationFlag{Name: "time-reconnect", Usage: "`TIME` of silence after which the manager counts as gone", DefaultText: "3 × notify-time"},
			&cli.BoolFlag{Name: "from-start", Usage: "read files from their beginning when they are met for the first time"},
			&cli.GenericFlag{Name: "spool-size", Value: setting.MB(defaultSpool), Usage: "`SIZE` of the events kept on disk while no manager takes them, as in \"64 MB\"; a plain number is in MB; with 0 nothing is kept, and sources wait"},
			&cli.StringFlag{Name: "spool-full", Value: "wait", Usage: "`WHAT` to do when the spool is full: wait (sources are not read any further) or drop-oldest (counted and reported)"},
			&cli.DurationFlag{Name: "spool-sync", Value: defaultSpoolSync, Usage: "`AGE` after which events in the spool are forced to the disk; a power cut can take younger ones; 0 leaves it to the system"},
			&cli.IntFlag{Name: "source-share", Value: defaultShare, Usage: "`PERCENT` of the spool that one source may fill if there are several; then it waits; 100 sets no bound"},
			&cli.IntFlag{Name: "rate", Usage: "send at most this many `EVENTS` a second to each manager; 0 sets no limit"},
			&cli.IntFlag{Name: "burst", Usage: "`EVENTS` that may be sent at once after a pause", DefaultText: "as rate"},
			&cli.DurationFlag{Name: "probe-interval", Value: defaultProbe, Usage: "`TIME` after an event when a keepalive asks whether the manager is there; 0 waits for the next regular keepalive"},
			&cli.IntFlag{Name: "resend-max", Value: defaultResend, Usage: "when a manager was lost, send again at most `N` events that it had not confirmed; 0 sends nothing twice"},
			&cli.StringFlag{Name: "http-listen", Usage: "`HOST:PORT` where metrics and health are served over HTTP, as in 127.0.0.1:9515 (docs/monitoring.md)", DefaultText: "none"},
			&cli.StringFlag{Name: "http-token-file", Usage: "`FILE` whose first line is a token that who asks for metrics must send; needed unless the address is loopback"},
			&cli.BoolFlag{Name: "exit-when-idle", Usage: "for scripts: once all files are read, send a keepalive, and exit with 0 when it is answered, or with 1 after --time-reconnect"},
		}, enrollFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := configOf(c)
			if c.Bool("check") {
				return check(c, cfg, err)
			}
			if !c.Bool("enroll-only") {
				err = errors.Join(err, cfg.Validate())
			}
			if err != nil {
				return cli.Exit(err.Error(), 2)
			}
			if done, err := enrollFirst(c, slog.Default()); done {
				return err
			}
			if _, _, err := cfg.loadKey(); err != nil {
				return cli.Exit(err.Error(), 2)
			}
			for _, secret := range []string{keyEnv, tokenEnv} { // they were read, and are not for the programs that sources run
				os.Unsetenv(secret)
			}
			if os.Getenv("GOMAXPROCS") == "" {
				runtime.GOMAXPROCS(cfg.cores())
			}
			return Run(c.Context, cfg, slog.Default())
		},
	}
}

// configOf reads the flags. The error has the faults that Validate cannot see.
func configOf(c *cli.Context) (Config, error) {
	var faults []error
	if c.Args().Present() {
		faults = append(faults, fmt.Errorf("unexpected %q; use flags only, and put globs into quotes: --file '/var/log/*.log'", c.Args().First()))
	}
	cfg := Config{
		Keys: keysPath(c), OssecHome: c.String("ossec-home"), KeyText: os.Getenv(keyEnv), State: c.String("state"), Managers: c.StringSlice("manager"),
		ExitWhenIdle: c.Bool("exit-when-idle"),
		NotifyTime:   c.Duration("notify-time"), TimeReconnect: c.Duration("time-reconnect"), Version: c.App.Version,
	}
	cfg.Files, cfg.FromStart, cfg.Tables = c.StringSlice("file"), c.Bool("from-start"), setting.TablesOf(c, "source")
	cfg.SpoolSize, cfg.SpoolSync = c.Generic("spool-size").(*setting.Size).Bytes, c.Duration("spool-sync")
	for _, t := range setting.TablesOf(c, "active-response") {
		cfg.ActiveResponse = t
	}
	cfg.ProbeInterval, cfg.ResendMax = c.Duration("probe-interval"), c.Int("resend-max")
	cfg.PushedSources, cfg.PushedCommands = c.Bool("pushed-sources"), c.Bool("pushed-commands")
	cfg.SourceShare, cfg.Rate, cfg.Burst = c.Int("source-share"), c.Int("rate"), c.Int("burst")
	cfg.HTTPListen, cfg.HTTPTokenFile = c.String("http-listen"), c.String("http-token-file")
	cfg.FailBack, cfg.LocalAddr = c.Duration("fail-back"), c.String("local-addr")
	for d, interval := range map[string]*time.Duration{"notify-time": &cfg.NotifyTime, "time-reconnect": &cfg.TimeReconnect} {
		if c.IsSet(d) && c.Duration(d) <= 0 {
			faults = append(faults, fmt.Errorf("%s: %v is not an interval; use one above zero, as in 300s or 5m", d, c.Duration(d)))
			*interval = 0 // this is fault enough
		}
	}
	var choices [4]error
	cfg.AllManagers, choices[0] = setting.Choice(c, "mode", []string{"first", "all"}, false, true)
	cfg.SpoolDropOldest, choices[1] = setting.Choice(c, "spool-full", []string{"wait", "drop-oldest"}, false, true)
	cfg.Method, choices[2] = setting.Choice(c, "crypto", []string{"blowfish", "aes"}, proto.Blowfish, proto.AES)
	cfg.Dialect, choices[3] = setting.Choice(c, "dialect", []string{"ossec", "wazuh"}, proto.OSSEC, proto.Wazuh)
	return cfg, errors.Join(append(faults, choices[:]...)...)
}

// check reports every fault of the configuration and the key file, and changes nothing.
func check(c *cli.Context, cfg Config, err error) error {
	faults := []error{err, cfg.Validate(), cfg.checkHost()}
	_, needsKey, enrollErr := enrolment(c)
	faults = append(faults, enrollErr)
	if cfg.Keys != "" && !needsKey {
		_, warnings, err := cfg.loadKey()
		faults = append(append(faults, warnings...), err)
	}
	if info, err := os.Stat(cfg.State); err == nil && !info.IsDir() {
		faults = append(faults, fmt.Errorf("state: %s is not a directory; name another", cfg.State))
	}
	if err := errors.Join(faults...); err != nil {
		return cli.Exit(err.Error(), 2)
	}
	sources := cfg.collector()
	for _, w := range sources.OldNames() {
		fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", printable.Text(w))
	}
	fmt.Fprintln(c.App.Writer, "no faults found")
	return nil
}
