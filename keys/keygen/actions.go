package keygen

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
)

// agent is a key as JSON.
type agent struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	IP   string `json:"ip"`
	// What is noted beside the keys file.
	Made     *time.Time `json:"made,omitempty"`
	Groups   []string   `json:"groups,omitempty"`
	Rotating *time.Time `json:"rotating,omitempty"` // since when a next key is ordered
	// Only where the key is meant to be shown.
	Key    string `json:"key,omitempty"`
	Base64 string `json:"base64,omitempty"`
}

func public(k keys.Key) agent { return agent{ID: k.ID, Name: k.Name, IP: k.Address.String()} }

func private(k keys.Key) agent {
	a := public(k)
	a.Key = k.Secret
	return a
}

// noted adds what is noted of the agent.
func (a agent) noted(n keys.Note) agent {
	if !n.Made.IsZero() {
		a.Made = &n.Made
	}
	if !n.Ordered.IsZero() {
		a.Rotating = &n.Ordered
	}
	a.Groups = n.Groups
	return a
}

// print writes asJSON with --json, and else the text.
func (c *call) print(asJSON any, text string) error {
	return c.printTo(c.App.Writer, asJSON, text)
}

func (c *call) printTo(w io.Writer, asJSON any, text string) error {
	if !c.Bool("json") {
		_, err := fmt.Fprintln(w, text)
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(asJSON)
}

func add(c *call) error {
	if c.arg == "-" {
		return addMany(c)
	}
	address, err := keys.ParseAddress(c.String("ip"))
	if err != nil {
		return cli.Exit("--ip "+err.Error(), exitUsage)
	}
	if err := keys.CheckName(c.arg); err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	id := c.String("id")
	if c.IsSet("id") {
		if err := keys.CheckID(id); err != nil {
			return cli.Exit("--id "+err.Error(), exitUsage)
		}
	}
	groups, err := keys.ParseGroups(c.String("groups"))
	if err != nil {
		return cli.Exit("--groups "+err.Error(), exitUsage)
	}
	out := agent{}
	var k keys.Key
	err = c.edit(func(f *keys.File) (err error) {
		if k, err = f.Add(c.arg, address, id); err == nil && groups != nil {
			err = f.SetGroups(k.ID, groups)
		}
		out = private(k).noted(f.Note(k))
		return err
	})
	if err != nil {
		return err
	}
	return c.print(out, k.Line())
}

func list(c *call) error {
	set, notes, err := c.loadNoted()
	if err != nil {
		return err
	}
	agents := []agent{}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ID\tNAME\tIP")
	if c.Bool("long") {
		fmt.Fprint(w, "\tMADE\tGROUPS\tNEXT KEY")
	}
	group := c.String("group")
	for _, k := range set.Keys {
		n := notes.Of(k)
		if group != "" && !slices.Contains(n.Groups, group) || c.Bool("rotating") && n.Next == "" {
			continue
		}
		agents = append(agents, public(k).noted(n))
		fmt.Fprintf(w, "\n%s\t%s\t%s", k.ID, k.Name, k.Address)
		if c.Bool("long") {
			fmt.Fprintf(w, "\t%s\t%s\t%s", day(n.Made), orNone(strings.Join(n.Groups, ",")), day(n.Ordered))
		}
	}
	w.Flush()
	return c.print(agents, text.String())
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func show(c *call) error {
	k, note, err := c.findNoted()
	if err != nil {
		return err
	}
	return c.print(private(k).noted(note), k.Line())
}

func remove(c *call) error {
	var k keys.Key
	err := c.edit(func(f *keys.File) (err error) {
		k, err = f.Remove(c.arg)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(public(k), "removed "+k.String())
}

func export(c *call) error {
	if c.Bool("all") != (len(c.args) == 0) {
		return c.wrong("takes either an ID or --all")
	}
	if c.Bool("all") {
		return exportAll(c)
	}
	k, note, err := c.findNoted()
	if err != nil {
		return err
	}
	if c.Bool("next") {
		if note.Next == "" {
			return fmt.Errorf("agent %s has no next key; order one: ossecd keygen rotate %s", k.ID, k.ID)
		}
		k.Secret = note.Next
	}
	a := exported(k)
	return c.print(a, a.Base64)
}

func exported(k keys.Key) agent {
	a := public(k)
	a.Base64 = k.Export()
	return a
}

// exportAll prints a line for each agent; with --next for those that have a next key.
func exportAll(c *call) error {
	set, notes, err := c.loadNoted()
	if err != nil {
		return err
	}
	w := bufio.NewWriter(c.App.Writer)
	for _, k := range set.Keys {
		if c.Bool("next") {
			if k.Secret = notes.Of(k).Next; k.Secret == "" {
				continue
			}
		}
		a := exported(k)
		if err := c.printTo(w, a, k.ID+" "+k.Name+" "+a.Base64); err != nil {
			return err
		}
	}
	return w.Flush()
}

func importKey(c *call) error {
	if (c.String("file") != "") != (len(c.args) == 0) {
		return c.wrong("takes either TEXT or --file")
	}
	if c.String("file") != "" {
		return importFile(c)
	}
	text := c.arg
	if text == "-" {
		var err error
		if text, err = readText(c.Context.Context, c.App.Reader, keys.MaxExport); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
	k, err := keys.ParseExport(text)
	if err != nil {
		if c.arg != "-" {
			err = fmt.Errorf("%w; to read a file: ossecd keygen import - < FILE", err)
		}
		return err
	}
	if err := c.edit(func(f *keys.File) error { return f.Import(k) }); err != nil {
		return err
	}
	return c.print(public(k), "imported "+k.String())
}

// readText reads all of r, one byte more than most at most, or until ctx ends; the reading goes on behind it then.
func readText(ctx context.Context, r io.Reader, most int) (string, error) {
	var text []byte
	done := make(chan error, 1)
	go func() {
		var err error
		text, err = io.ReadAll(io.LimitReader(r, int64(most)+1))
		done <- err
	}()
	select {
	case err := <-done:
		return string(text), err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func resetCounter(c *call) error {
	state := c.String("state")
	if state == "" {
		return c.wrong("needs a directory after --state")
	}
	k, err := c.find()
	switch {
	case err == nil:
	case !c.IsSet("keys") && keys.CheckID(c.arg) == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, keys.ErrNoAgent)):
		k = keys.Key{ID: c.arg} // the ID is enough, and the manager's keys may be elsewhere
	default:
		return err
	}
	if _, err := keys.ResetCounter(c.Context.Context, state, k.ID, k.Secret); err != nil {
		return err
	}
	c.warn("captured messages of this agent are now accepted once more; if that matters, give it a new key:\n"+
		"ossecd keygen remove %s, and add it again", k.ID)
	text := "the manager forgot the counter of agent " + k.ID
	if k.Name != "" {
		text += " " + k.Name + " " + k.Address.String()
	}
	return c.print(public(k), text)
}
