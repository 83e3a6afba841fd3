package keygen

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
)

func rename(c *call) error {
	if err := keys.CheckName(c.args[1]); err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	return c.changeLine(func(f *keys.File) (keys.Key, error) { return f.Rename(c.arg, c.args[1]) })
}

func setIP(c *call) error {
	address, err := keys.ParseAddress(c.args[1])
	if err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	return c.changeLine(func(f *keys.File) (keys.Key, error) { return f.SetAddress(c.arg, address) })
}

func (c *call) changeLine(change func(*keys.File) (keys.Key, error)) error {
	var out agent
	var k keys.Key
	err := c.edit(func(f *keys.File) (err error) {
		k, err = change(f)
		out = public(k).noted(f.Note(k))
		return err
	})
	if err != nil {
		return err
	}
	return c.print(out, "changed "+k.String()+"; the agent needs its new line: ossecd keygen export "+k.ID)
}

func group(c *call) error {
	text := ""
	if len(c.args) > 1 {
		text = c.args[1]
	}
	groups, err := keys.ParseGroups(text)
	if err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	var out agent
	err = c.edit(func(f *keys.File) error {
		if err := f.SetGroups(c.arg, groups); err != nil {
			return err
		}
		k, _ := f.Set().ByID(c.arg)
		out = public(k).noted(f.Note(k))
		return nil
	})
	if err != nil {
		return err
	}
	return c.print(out, fmt.Sprintf("agent %s is in: %s", c.arg, orNone(strings.Join(groups, ","))))
}

// rotation is an ordered key as JSON.
type rotation struct {
	agent
	Ordered bool `json:"ordered"` // just now, and not before
}

func rotate(c *call) error {
	older := c.Duration("older-than")
	ways := 0
	for _, given := range []bool{c.arg != "", c.Bool("all"), c.IsSet("older-than")} {
		if given {
			ways++
		}
	}
	if ways != 1 || older < 0 {
		return c.wrong("takes one of ID, --all and --older-than AGE")
	}
	now := time.Now()
	var all []rotation
	err := c.edit(func(f *keys.File) error {
		ids := []string{c.arg}
		if c.arg == "" {
			ids = nil
			for _, k := range f.Set().Keys {
				if made := f.Note(k).Made; c.Bool("all") || made.IsZero() || now.Sub(made) > older {
					ids = append(ids, k.ID)
				}
			}
		}
		for _, id := range ids {
			_, ordered, err := f.Rotate(id, now)
			if err != nil {
				return err
			}
			k, _ := f.Set().ByID(id)
			all = append(all, rotation{public(k).noted(f.Note(k)), ordered})
		}
		return nil
	})
	if err != nil {
		return err
	}
	var text strings.Builder
	for i, r := range all {
		if i > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%s %s: ", r.ID, r.Name)
		if r.Ordered {
			text.WriteString("a new key is ordered")
		} else {
			fmt.Fprintf(&text, "ordered on %s, and not used yet; if it is not ossecd: ossecd keygen export %s --next", day(*r.Rotating), r.ID)
		}
	}
	if len(all) == 0 {
		all = []rotation{}
		text.WriteString("no key is that old")
	}
	return c.print(all, text.String())
}
