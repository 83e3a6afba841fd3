package keygen

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
)

// maxText bounds the text that import reads: twice the base64 of the longest line, for white space in it.
const maxText = 8 << 10

// errText is what is wrong with the text that import got. It is not shown: it may hold the key.
var errText = errors.New("the text is not what ossecd keygen export prints: base64 of one line ID NAME IP KEY")

// agent is a key as JSON.
type agent struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	IP   string `json:"ip"`
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

// print writes asJSON with --json, and else the text.
func (c *call) print(asJSON any, text string) error {
	if !c.Bool("json") {
		_, err := fmt.Fprintln(c.App.Writer, text)
		return err
	}
	e := json.NewEncoder(c.App.Writer)
	e.SetEscapeHTML(false)
	return e.Encode(asJSON)
}

func add(c *call) error {
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
	var k keys.Key
	err = c.edit(func(f *keys.File) (err error) {
		k, err = f.Add(c.arg, address, id)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(private(k), k.Line())
}

func list(c *call) error {
	set, err := c.load()
	if err != nil {
		return err
	}
	agents := make([]agent, len(set.Keys))
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ID\tNAME\tIP")
	for i, k := range set.Keys {
		agents[i] = public(k)
		fmt.Fprintf(w, "\n%s\t%s\t%s", k.ID, k.Name, k.Address)
	}
	w.Flush()
	return c.print(agents, text.String())
}

func show(c *call) error {
	k, err := c.find()
	if err != nil {
		return err
	}
	return c.print(private(k), k.Line())
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
	k, err := c.find()
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString([]byte(k.Line()))
	a := public(k)
	a.Base64 = text
	return c.print(a, text)
}

func importKey(c *call) error {
	text := c.arg
	if text == "-" {
		var err error
		if text, err = readText(c.Context.Context, c.App.Reader); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
	k, err := decode(text)
	if err != nil {
		return err
	}
	if err := c.edit(func(f *keys.File) error { return f.Import(k) }); err != nil {
		return err
	}
	return c.print(public(k), "imported "+k.String())
}

// readText reads all of r, or until ctx ends; the reading goes on behind it then.
func readText(ctx context.Context, r io.Reader) (string, error) {
	var text []byte
	done := make(chan error, 1)
	go func() {
		var err error
		text, err = io.ReadAll(io.LimitReader(r, maxText+1))
		done <- err
	}()
	select {
	case err := <-done:
		return string(text), err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// decode reads what export prints, with white space anywhere in it and the padding optional.
func decode(text string) (keys.Key, error) {
	if len(text) > maxText {
		return keys.Key{}, fmt.Errorf("%w; it is over %d bytes long", errText, maxText)
	}
	text = strings.TrimRight(strings.Join(strings.Fields(text), ""), "=")
	line, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(line) == 0 {
		return keys.Key{}, errText
	}
	k, err := keys.ParseLine(strings.TrimRight(string(line), "\r\n"))
	if err != nil {
		return k, fmt.Errorf("%w; in the line: %w", errText, err)
	}
	return k, nil
}

func resetCounter(c *call) error {
	state := c.String("state")
	if state == "" {
		return c.wrong("needs a directory after --state")
	}
	k, err := c.find()
	switch {
	case err == nil:
	case !c.IsSet("keys") && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, keys.ErrNoAgent)):
		k = keys.Key{ID: c.arg} // the ID is enough, and the manager's keys may be elsewhere
	default:
		return err
	}
	if _, err := keys.ResetCounter(c.Context.Context, state, k.ID, k.Secret); err != nil {
		return err
	}
	c.warn("what was captured of this agent's traffic before passes once more; where that matters give it a new key:\n"+
		"ossecd keygen remove %s, and add it anew", k.ID)
	text := "the manager forgot the counter of agent " + k.ID
	if k.Name != "" {
		text += " " + k.Name + " " + k.Address.String()
	}
	return c.print(public(k), text)
}
