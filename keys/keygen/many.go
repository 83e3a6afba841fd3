package keygen

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
	"ossecd/keys/marked"
)

// maxBulk bounds what is read at once: more lines than a keys file may have.
const maxBulk = 64 << 20

// outcome is what became of one line of many.
type outcome struct {
	*agent
	Line  int    `json:"line"`
	Error string `json:"error,omitempty"`
	text  string
}

// errSome says that some of many lines were not taken; each was told.
func errSome(n, all int) error {
	return cli.Exit(fmt.Sprintf("%d of %d lines were not added; correct them and add them again", n, all), 1)
}

// tell prints an outcome a line, and says whether all are good.
func (c *call) tell(all []outcome) error {
	w := bufio.NewWriter(c.App.Writer)
	bad := 0
	for _, o := range all {
		if o.Error != "" {
			bad++
			o.text = fmt.Sprintf("error: line %d: %s", o.Line, o.Error)
		}
		if err := c.printTo(w, o, o.text); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil || bad == 0 {
		return err
	}
	return errSome(bad, len(all))
}

// request is a line of CSV: an agent to be.
type request struct {
	line           int
	name, ip, id   string
	groups, reason string // reason: why it is none
}

// addMany makes keys for the agents that standard input lists.
func addMany(c *call) error {
	for _, name := range []string{"ip", "id", "groups"} {
		if c.IsSet(name) {
			return c.wrong("takes no --%s with -; each line has its own", name)
		}
	}
	text, err := readAll(c, maxBulk)
	if err != nil {
		return err
	}
	requests, err := readCSV(strings.NewReader(text))
	if err != nil {
		return err
	}
	all := make([]outcome, len(requests))
	p := startProgress(c.App.ErrWriter, "keys", len(requests))
	err = c.edit(func(f *keys.File) error {
		for i, r := range requests {
			all[i] = addOne(f, r)
			p.step()
		}
		return nil
	})
	p.stop()
	if err != nil {
		return err
	}
	return c.tell(all)
}

func addOne(f *keys.File, r request) outcome {
	fail := func(err error) outcome { return outcome{agent: &agent{Name: r.name}, Line: r.line, Error: err.Error()} }
	if r.reason != "" {
		return fail(errors.New(r.reason))
	}
	if err := keys.CheckName(r.name); err != nil {
		return fail(err)
	}
	if r.id != "" {
		if err := keys.CheckID(r.id); err != nil {
			return fail(err)
		}
	}
	address, err := keys.ParseAddress(r.ip)
	if err != nil {
		return fail(err)
	}
	groups, err := keys.ParseGroups(r.groups)
	if err != nil {
		return fail(err)
	}
	k, err := f.Add(r.name, address, r.id)
	if err != nil {
		return fail(err)
	}
	if groups != nil {
		if err := f.SetGroups(k.ID, groups); err != nil {
			return fail(err)
		}
	}
	a := private(k).noted(f.Note(k))
	return outcome{agent: &a, Line: r.line, text: k.Line()}
}

// readCSV reads lines NAME[,IP[,ID[,GROUPS]]]. A first line that begins with one of these words names the columns.
func readCSV(in io.Reader) ([]request, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	r.Comment = '#'
	r.TrimLeadingSpace = true
	r.ReuseRecord = true
	columns := []string{"name", "ip", "id", "groups"}
	var all []request
	for first := true; ; first = false {
		fields, err := r.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("standard input: %w; nothing was added: write NAME,IP,ID,GROUPS in each line", err)
		}
		if first && isHead(fields) {
			columns = nil
			for _, f := range fields {
				columns = append(columns, strings.ToLower(strings.TrimSpace(f)))
			}
			continue
		}
		line, _ := r.FieldPos(0)
		q := request{line: line}
		for i, f := range fields {
			f = strings.TrimSpace(f)
			if i >= len(columns) {
				q.reason = fmt.Sprintf("it has %d fields, and there are %d columns", len(fields), len(columns))
				break
			}
			switch columns[i] {
			case "name":
				q.name = strings.Clone(f)
			case "ip":
				q.ip = strings.Clone(f)
			case "id":
				q.id = strings.Clone(f)
			case "groups":
				q.groups = strings.ReplaceAll(f, ";", ",")
			}
		}
		if q.ip == "" {
			q.ip = keys.Any.String()
		}
		all = append(all, q)
	}
}

// isHead says whether all fields are names of columns.
func isHead(fields []string) bool {
	named := false
	for _, f := range fields {
		switch strings.ToLower(strings.TrimSpace(f)) {
		case "name":
			named = true
		case "ip", "id", "groups":
		default:
			return false
		}
	}
	return named
}

// readAll reads standard input, or until the run is to end.
func readAll(c *call, most int) (string, error) {
	text, err := readText(c.Context.Context, c.App.Reader, most)
	if err == nil && len(text) > most {
		err = fmt.Errorf("over %d MB; give it in parts", most>>20)
	}
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return string(marked.Text([]byte(text))), nil // spreadsheets begin with a mark
}

// importFile adds all lines of a keys file.
func importFile(c *call) error {
	path := c.String("file")
	var in io.Reader
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("--file: %w; name a keys file that this user may read", err)
		}
		defer f.Close()
		in = f
	} else {
		text, err := readAll(c, maxBulk)
		if err != nil {
			return err
		}
		in, path = strings.NewReader(text), "standard input"
	}
	set, faults, err := keys.Parse(in, path)
	if err != nil {
		return err
	}
	var all []outcome
	for _, f := range faults {
		if f.Kept {
			c.warn("%v", f)
			continue
		}
		all = append(all, outcome{agent: &agent{ID: f.ID}, Line: f.Line, Error: f.Err.Error()})
	}
	p := startProgress(c.App.ErrWriter, "keys", len(set.Keys))
	err = c.edit(func(f *keys.File) error {
		for _, id := range set.Removed {
			f.Reserve(id)
		}
		for i, k := range set.Keys {
			a := public(k)
			o := outcome{agent: &a, Line: set.Line(i), text: "imported " + k.String()}
			if have, ok := f.Set().ByID(k.ID); ok && have == k {
				o.text = "unchanged " + k.String()
			} else if err := f.Import(k); err != nil {
				o.Error = err.Error()
			}
			all = append(all, o)
			p.step()
		}
		return nil
	})
	p.stop()
	if err != nil {
		return err
	}
	return c.tell(all)
}
