package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/agent/enroll"
)

// tokenEnv can hold a token: arguments are for everyone on the host to see.
const tokenEnv = "OSSECD_ENROLL_TOKEN"

// keyEnv can hold the agent's key, for containers: the line, or its export. The keys file is not used then.
const keyEnv = "OSSECD_AGENT_KEY"

// enrollFlags say how the agent gets a key if it has none.
func enrollFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "enroll", Usage: "`HOST[:PORT]` of a manager to get a key from if the keys file does not exist, port 1515 by default"},
		&cli.StringFlag{Name: "enroll-token-file", Aliases: []string{"token-file"}, Usage: "`FILE` whose first line is the token to show there; or put the token into " + tokenEnv},
		&cli.StringFlag{Name: "enroll-password-file", Aliases: []string{"password-file"}, Usage: "`FILE` whose first line is the password to show there"},
		&cli.StringFlag{Name: "enroll-name", Usage: "`NAME` to ask for", DefaultText: "the host's name"},
		&cli.StringFlag{Name: "enroll-fingerprint", Usage: "`SHA256` of the manager's certificate, if the token does not carry it"},
		&cli.StringFlag{Name: "enroll-ca", Usage: "`FILE` with certificates in PEM, one of which signed the manager's certificate"},
		&cli.BoolFlag{Name: "enroll-insecure", Usage: "take a key from whoever answers, without checking who it is"},
		&cli.StringFlag{Name: "enroll-cert", Usage: "`FILE` with this agent's certificate in PEM, for a manager that asks for one"},
		&cli.StringFlag{Name: "enroll-key", Usage: "`FILE` with the key of that certificate in PEM"},
		&cli.BoolFlag{Name: "enroll-only", Usage: "get a key, or fail at once, and exit"},
	}
}

// enrolment is what the flags say about getting a key; needed is whether there is none yet. The error has its faults, where
// it is needed.
func enrolment(c *cli.Context) (cfg enroll.Config, needed bool, err error) {
	cfg = enroll.Config{
		Manager: c.String("enroll"), Keys: keysPath(c), TokenFile: c.String("enroll-token-file"), PasswordFile: c.String("enroll-password-file"),
		Name: c.String("enroll-name"), Fingerprint: c.String("enroll-fingerprint"), CA: c.String("enroll-ca"), Insecure: c.Bool("enroll-insecure"),
		Cert: c.String("enroll-cert"), Key: c.String("enroll-key"),
	}
	if cfg.Manager == "" {
		for _, f := range enrollFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return cfg, false, fmt.Errorf("%s: goes with enroll, which names the manager's enrolment, as in --enroll 192.0.2.10", strings.ReplaceAll(name, "-", "_"))
			}
		}
		return cfg, false, nil
	}
	if cfg.TokenFile == "" && cfg.PasswordFile == "" {
		cfg.Token = os.Getenv(tokenEnv)
	}
	if os.Getenv(keyEnv) != "" {
		return cfg, false, nil
	}
	if _, err := os.Lstat(cfg.Keys); !errors.Is(err, fs.ErrNotExist) {
		return cfg, false, nil // it has a key, or there is something else to tell about the file
	}
	return cfg, true, cfg.Validate()
}

// enrollFirst gets a key where one is needed, for as long as it takes. With --enroll-only that is all.
func enrollFirst(c *cli.Context, log *slog.Logger) (done bool, err error) {
	only := c.Bool("enroll-only")
	cfg, needed, err := enrolment(c)
	if err != nil {
		return true, cli.Exit(err.Error(), 2)
	}
	if needed {
		log.Info("getting a key", "version", c.App.Version, "manager", cfg.Manager, "keys", cfg.Keys)
		err = enroll.Run(c.Context, cfg, only, log)
		if c.Context.Err() != nil && !only {
			return true, nil // it was told to end
		}
	} else if only {
		with := Config{Keys: cfg.Keys, KeyText: os.Getenv(keyEnv)}
		if _, _, err = with.loadKey(); err == nil {
			log.Info("there is a key already; nothing to do", "keys", cfg.Keys)
		}
	}
	return only || err != nil, err
}
