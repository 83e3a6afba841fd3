package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
	"ossecd/keys/setting"
	"ossecd/manager/control"
	"ossecd/manager/enroll"
	"ossecd/proto/printable"
)

// Demo runs a manager and an agent in one process until ctx ends; the agent follows the files.
type Demo func(ctx context.Context, files []string, log *slog.Logger) error

const description = `The manager receives events from agents (ossecd, OSSEC and Wazuh 4, over UDP and TCP) and writes them as JSON lines. It accepts
an agent only if it has the agent's key. It reports agents that connect and agents that fall silent.
Changes of the keys file take effect within 2 s, or at once with SIGHUP. SIGTERM and Ctrl-C stop the manager in order.

Examples:
   ossecd manager --demo                         see it work, on this machine only
   ossecd manager --keys client.keys --state ./state
   ossecd manager --config /etc/ossecd/ossecd.toml --check
   ossecd manager --listen 192.0.2.10:1514 --listen '[2001:db8::10]:1514' --events /var/log/ossecd/events.json
   ossecd manager --ossec-home /var/ossec        in place of a stock server's remote daemon
   ossecd manager --enroll-listen :1515 --enroll-tokens /etc/ossecd/enroll.tokens

Beside a running manager:
   ossecd manager status                         how it is: agents, sinks, journal, refusals
   ossecd manager agents --state disconnected    who is away
   ossecd manager agent web01                    all about one agent, and what to do
   ossecd manager order all syscheck-restart     tell agents to check their files now
   ossecd manager enroll-info                    the fingerprint by which agents know it`

// enrollTable is the table [manager.enroll] of the configuration file, which has the flags --enroll-… as its keys.
const enrollTable = "enroll"

// Command is "ossecd manager".
func Command(demo Demo) *cli.Command {
	return &cli.Command{
		Name:        "manager",
		Usage:       "receive events from agents",
		Description: description,
		ArgsUsage:   " ",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "read the configuration and the keys, report every fault, and exit with 0 or 2"},
			&cli.StringFlag{Name: "keys", Value: DefaultKeys, Usage: "`FILE` with the keys of all agents; may be empty or missing at the start"},
			&cli.StringFlag{Name: "state", Value: DefaultState, Usage: "`DIR` for all that must outlive the process; used by one process at a time"},
			&cli.StringSliceFlag{Name: "listen", Value: cli.NewStringSlice(DefaultListen...), Usage: "address `HOST:PORT`, UDP, or with tcp:// in front TCP; port 0 picks one; can be repeated"},
			&cli.StringFlag{Name: "events", Value: "-", Usage: "`FILE` to which events are appended as JSON lines; - is standard output"},
			&cli.GenericFlag{Name: "sink", Hidden: true, Value: &setting.Tables{}},
			&cli.StringFlag{Name: "disconnect-after", Value: "auto", Usage: "silence after which an agent is reported disconnected: a `DURATION`, or auto, which is 3 of its keepalive intervals and 30s"},
			&cli.DurationFlag{Name: "remind-after", Usage: "report agents again that are still disconnected, each `DURATION`, 1m or more", DefaultText: "never"},
			&cli.StringFlag{Name: "control-socket", Usage: "`PATH` of the unix socket for the commands that ask a running manager", DefaultText: "STATE/control.sock"},
			&cli.StringFlag{Name: "http-listen", Usage: "`HOST:PORT` where metrics and health are served over HTTP, as in 127.0.0.1:9514 (docs/monitoring.md)", DefaultText: "none"},
			&cli.StringFlag{Name: "http-token-file", Usage: "`FILE` whose first line is a token that who asks for metrics must send; needed unless the address is loopback"},
			&cli.StringFlag{Name: "shared", Usage: "`DIR` with files that are pushed to all agents that no [[manager.group]] gives files to", DefaultText: "none; DIR/etc/shared with --ossec-home"},
			&cli.GenericFlag{Name: "group", Hidden: true, Value: &setting.Tables{}},
			&cli.GenericFlag{Name: "syslog", Hidden: true, Value: &setting.Tables{}},
			&cli.StringFlag{Name: "ossec-home", Usage: "`DIR` of a stock server whose remote daemon this replaces: keys, rids, agent-info, queues and shared files are there (docs/dropin.md)"},
			&cli.StringFlag{Name: "crypto-accept", Value: "any", Usage: "`CIPHER` that agents may use: blowfish, aes or any"},
			&cli.GenericFlag{Name: "journal-size", Value: setting.MB(DefaultJournalSize), Usage: "`SIZE` of the journal, in which events wait until all sinks have them; a plain number is in MB"},
			&cli.DurationFlag{Name: "journal-keep", Usage: "how long events stay in the journal after all sinks have them: a `DURATION`", DefaultText: "not at all"},
			&cli.DurationFlag{Name: "journal-sync", Value: DefaultJournalSync, Usage: "`AGE` after which events in the journal are forced to the disk; a power cut can take younger ones; 0 leaves it to the system"},
			&cli.GenericFlag{Name: "queue-size", Value: setting.MB(DefaultQueueSize), Usage: "`SIZE` of the events that may wait in memory while the disk of the journal takes none; a plain number is in MB; past it the newest are lost, counted and reported"},
			&cli.IntFlag{Name: "agent-share", Value: DefaultAgentShare, Usage: "how much of what waits one agent may fill, in `PERCENT`"},
			&cli.StringFlag{Name: "enroll-listen", Category: enrollTable, Usage: "TCP address `HOST:PORT` where agents get keys by themselves, as in :1515; none by default"},
			&cli.StringFlag{Name: "enroll-tokens", Category: enrollTable, Usage: "`FILE` with tokens, one of which an agent must show (ossecd keygen token)"},
			&cli.StringFlag{Name: "enroll-password-file", Category: enrollTable, Usage: "`FILE` whose first line is a password for all agents; with --enroll-tokens, either is enough"},
			&cli.StringFlag{Name: "enroll-client-ca", Category: enrollTable, Usage: "`FILE` with certificates in PEM; an agent must have a certificate that one of them signed"},
			&cli.StringFlag{Name: "enroll-cert", Category: enrollTable, Usage: "`FILE` with the manager's certificate in PEM", DefaultText: "STATE/enroll/cert.pem, made if missing"},
			&cli.StringFlag{Name: "enroll-key", Category: enrollTable, Usage: "`FILE` with the key of that certificate in PEM", DefaultText: "STATE/enroll/key.pem, made if missing"},
			&cli.StringFlag{Name: "enroll-names", Category: enrollTable, Usage: "`PATTERN` that the names of new agents must match, as in web*"},
			&cli.StringFlag{Name: "enroll-address", Category: enrollTable, Value: "any", Usage: "`WHERE` a new agent may send from: any (or what it asks for itself), or source (the address that it enrols from)"},
			&cli.StringFlag{Name: "enroll-duplicates", Category: enrollTable, Value: "refuse", Usage: "what to do if a name is taken, a `POLICY`: refuse; number (web2); replace-after=1h (of silence); return (whoever shows the token or key that the agent had gets its key back); or return,POLICY"},
			&cli.BoolFlag{Name: "demo", Usage: "a manager and an agent in one process, on loopback, with throw-away state"},
			&cli.StringSliceFlag{Name: "file", Usage: "with --demo: log files for the agent to follow, a `GLOB`; can be repeated"},
		},
		Action:      func(c *cli.Context) error { return action(c, demo) },
		Subcommands: append(control.Commands(DefaultState), enroll.InfoCommand(DefaultState)),
	}
}

func action(c *cli.Context, demo Demo) error {
	log := slog.Default()
	var err error
	if c.Args().Present() {
		err = fmt.Errorf("unexpected argument %q; use flags only, see ossecd manager --help", c.Args().First())
	}
	if c.IsSet("file") && !c.Bool("demo") {
		err = errors.Join(err, errors.New("file: goes with --demo; a manager reads no files, agents do (ossecd agent --file)"))
	}
	if c.Bool("demo") && !c.Bool("check") {
		if err != nil {
			return cli.Exit(err.Error(), 2)
		}
		return demo(c.Context, c.StringSlice("file"), log)
	}
	after, afterErr := parseDisconnectAfter(c.String("disconnect-after"))
	megabytes := func(flag, key string) int {
		bytes := c.Generic(flag).(*setting.Size).Bytes
		if bytes%(1<<20) != 0 || bytes == 0 {
			err = errors.Join(err, fmt.Errorf("%s: %s; use whole megabytes, 1 MB or more", key, setting.FormatSize(bytes)))
		}
		return int(bytes >> 20)
	}
	cfg := Config{
		Keys: c.String("keys"), State: c.String("state"), Listen: c.StringSlice("listen"), Events: c.String("events"),
		DisconnectAfter: after, RemindAfter: c.Duration("remind-after"), CryptoAccept: c.String("crypto-accept"), Sinks: setting.TablesOf(c, "sink"),
		Journal: Journal{
			Size: megabytes("journal-size", "journal_size"), Keep: c.Duration("journal-keep"), Sync: c.Duration("journal-sync"),
			QueueSize: megabytes("queue-size", "queue_size"), AgentShare: c.Int("agent-share"),
		},
		Control: c.String("control-socket"), HTTPListen: c.String("http-listen"), HTTPTokenFile: c.String("http-token-file"), OssecHome: c.String("ossec-home"),
		Shared: c.String("shared"), Groups: setting.TablesOf(c, "group"), Syslog: setting.TablesOf(c, "syslog"),
		Version: c.App.Version,
		Enroll: enroll.Config{
			Listen: c.String("enroll-listen"), Tokens: c.String("enroll-tokens"), PasswordFile: c.String("enroll-password-file"),
			ClientCA: c.String("enroll-client-ca"), Cert: c.String("enroll-cert"), Key: c.String("enroll-key"), Names: c.String("enroll-names"),
			Address: c.String("enroll-address"), Duplicates: c.String("enroll-duplicates"),
		},
	}
	if cfg.Control == "" {
		cfg.Control = control.Socket(cfg.State)
	}
	if cfg.OssecHome != "" && !c.IsSet("keys") {
		cfg.Keys = cfg.stock().Keys()
	}
	if cfg.OssecHome != "" && !c.IsSet("shared") {
		cfg.Shared = cfg.stock().Shared()
	}
	if (len(cfg.Sinks) > 0 || cfg.OssecHome != "") && !c.IsSet("events") {
		cfg.Events = ""
	}
	err = errors.Join(err, afterErr, cfg.Validate())
	if c.Bool("check") {
		return check(c, cfg, err)
	}
	if err != nil {
		return cli.Exit(err.Error(), 2)
	}
	signal.Ignore(syscall.SIGPIPE) // a broken pipe at standard output ends us in order
	if len(hangup) > 0 {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, hangup...)
		defer signal.Stop(signals)
		cfg.Hangup = signals
	}
	return Run(c.Context, cfg, log)
}

// check reports every fault of configuration and keys.
func check(c *cli.Context, cfg Config, err error) error {
	set, faults, loadErr := keys.Load(cfg.Keys)
	if loadErr != nil && !errors.Is(loadErr, os.ErrNotExist) {
		err = errors.Join(err, loadErr)
	}
	for _, f := range faults {
		err = errors.Join(err, f)
	}
	enrolment := cfg.enrolment()
	fingerprint, enrollErr := enrolment.Check()
	if err = errors.Join(err, enrollErr); err != nil {
		return cli.Exit(err.Error(), 2)
	}
	for _, w := range cfg.warnings {
		fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", printable.Text(w))
	}
	n := 0
	if set != nil {
		n = len(set.Keys)
	}
	fmt.Fprintf(c.App.Writer, "configuration and keys are in order; %d agents in %s\n", n, cfg.Keys)
	if fingerprint != "" {
		fmt.Fprintf(c.App.Writer, "fingerprint of the certificate for enrolment: %s\n", fingerprint)
	}
	return nil
}
