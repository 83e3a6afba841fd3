package enroll

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// InfoCommand is "ossecd manager enroll-info". state is the manager's state directory if no other is named. It asks the files, so no manager need run.
func InfoCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "enroll-info",
		Usage:     "show the certificate by which agents know the manager when they enrol",
		ArgsUsage: " ",
		Description: `Agents that enrol know the manager by this fingerprint. Give it to them with --enroll-fingerprint, or put it into a token (ossecd keygen token add).

Examples:
   ossecd manager enroll-info
   ossecd manager enroll-info --state ./state --json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "state", Value: state, Usage: "state `DIR` of the manager"},
			&cli.StringFlag{Name: "enroll-cert", Usage: "`FILE` with its certificate in PEM", DefaultText: "STATE/enroll/cert.pem"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON instead of text"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("unexpected argument %q; enroll-info takes only flags", c.Args().First()), 2)
			}
			cfg := Config{Cert: c.String("enroll-cert"), Dir: Dir(c.String("state"))}
			info, err := cfg.Info()
			if err != nil {
				return err
			}
			w := c.App.Writer
			if c.Bool("json") {
				return json.NewEncoder(w).Encode(info)
			}
			_, err = fmt.Fprintf(w, "fingerprint  %s\ncertificate  %s\nvalid        %s to %s\nnames        %.500q\n", info.Fingerprint, info.Certificate,
				info.From.Format(time.RFC3339), info.Until.Format(time.RFC3339), strings.Join(info.Names, ", "))
			return err
		},
	}
}
