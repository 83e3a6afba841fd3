package control

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// statusCommand is "ossecd manager status".
func statusCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show how the running manager is: agents, sinks, journal, refusals",
		ArgsUsage: " ",
		Description: `Agents that connected before the manager restarted, and have not been heard since, are awaited: they count as disconnected, and are not
reported before their time is up. Each sink has received = delivered + pending + lost.

Examples:
   ossecd manager status
   ossecd manager status --json --state ./state
   ossecd manager agents                         the agents, one by one`,
		Flags: append(clientFlags(state), &cli.BoolFlag{Name: "agents", Usage: "list the agents, as ossecd manager agents does"}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("unexpected argument %q; ossecd manager agent %[1]s shows one agent", c.Args().First()), 2)
			}
			if c.Bool("agents") {
				return listAgents(c, clientOf(c), &Query{})
			}
			var s Status
			raw, err := clientOf(c).ask(c.Context, http.MethodGet, "/v1/status", nil, &s)
			if err == nil {
				show(c, raw, s.print)
			}
			return err
		},
	}
}

func (s Status) print(w io.Writer) {
	fmt.Fprintf(w, "ossecd %s, up since %s (%s)\n", s.Version, s.UpSince.Format(time.RFC3339), age(time.Since(s.UpSince)))
	fmt.Fprintf(w, "agents: %d known, %d connected, %d disconnected, %d never heard", s.Agents.Known, s.Agents.Connected, s.Agents.Disconnected, s.Agents.Never)
	if n := s.Agents.Starting; n > 0 {
		fmt.Fprintf(w, ", %d connected without a keepalive", n)
	}
	if n := s.Agents.Awaited; n > 0 {
		fmt.Fprintf(w, ", %d awaited since the last start", n)
	}
	fmt.Fprintln(w)
	for _, k := range s.Sinks {
		fmt.Fprintf(w, "sink %s: received %d, delivered %d, pending %d, lost %d, filtered %d\n", k.Name, k.Received, k.Delivered, k.Pending, k.Lost, k.Filtered)
	}
	if j := s.Journal; j != nil {
		fmt.Fprintf(w, "journal: %s of %s, %d events", size(j.Bytes), size(j.Limit), j.Events)
		if j.Oldest != nil {
			fmt.Fprintf(w, ", the oldest from about %s", j.Oldest.Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	}
	if len(s.Refused) > 0 {
		fmt.Fprintf(w, "refused: %s\n", reasonList(s.Refused))
	}
	if n := s.KernelDropped; n != nil && *n > 0 {
		fmt.Fprintf(w, "dropped by the system: %d datagrams; the receive buffers were full\n", *n)
	}
	if e := s.Enroll; e != nil {
		fmt.Fprintf(w, "enrolled: %d\n", e.Enrolled)
		if len(e.Refused) > 0 {
			fmt.Fprintf(w, "enrolments refused: %s\n", reasonList(e.Refused))
		}
	}
}

func reasonList(counts map[string]uint64) string {
	var why []string
	for name, n := range counts {
		why = append(why, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), n))
	}
	slices.Sort(why)
	return strings.Join(why, ", ")
}

// size is bytes for people.
func size(bytes int64) string {
	n, unit := float64(bytes), 0
	for ; n >= 1024 && unit < 4; unit++ {
		n /= 1024
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + " " + [...]string{"B", "KB", "MB", "GB", "TB"}[unit]
}

// age is a duration for people: its largest unit.
func age(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
