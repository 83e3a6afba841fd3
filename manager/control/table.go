package control

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"ossecd/proto/printable"
)

// A color is what comes before a text on a terminal.
type color string

const (
	plain  color = ""
	bold   color = "\x1b[1m"
	dim    color = "\x1b[2m"
	red    color = "\x1b[31m"
	green  color = "\x1b[32m"
	yellow color = "\x1b[33m"

	colorOff = "\x1b[0m"
)

// cell is one text of a table.
type cell struct {
	text  string
	color color
}

// alignRows is how many rows the widths of columns go by: the first ones, so that a table of any length takes little memory.
const alignRows = 1000

// table writes rows whose columns stand below each other. No text in it steers the terminal.
type table struct {
	w      io.Writer
	right  []bool // columns of numbers
	colors bool
	rows   [][]cell // until their widths are known
	widths []int    // nil before
	line   strings.Builder
	err    error
}

// newTable makes a table. A title that begins with "<" is of a column of numbers.
func newTable(w io.Writer, colors bool, titles ...string) *table {
	t := &table{w: w, colors: colors, right: make([]bool, len(titles))}
	head := make([]cell, len(titles))
	for i, title := range titles {
		head[i].text, t.right[i] = strings.CutPrefix(title, "<")
		head[i].color = bold
	}
	t.row(head...)
	return t
}

// row adds a row.
func (t *table) row(cells ...cell) {
	for i := range cells {
		cells[i].text = strings.ReplaceAll(printable.Text(cells[i].text), "\n", `\n`)
	}
	if t.widths != nil {
		t.write(cells)
		return
	}
	if t.rows = append(t.rows, cells); len(t.rows) > alignRows {
		t.end()
	}
}

// end writes what is not written yet. More rows can follow.
func (t *table) end() error {
	if t.widths == nil {
		t.widths = make([]int, len(t.right))
		for _, r := range t.rows {
			for i, c := range r {
				t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.text))
			}
		}
		for _, r := range t.rows {
			t.write(r)
		}
		t.rows = nil
	}
	return t.err
}

func (t *table) write(cells []cell) {
	if t.err != nil {
		return
	}
	b := &t.line
	b.Reset()
	for i, c := range cells {
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(c.text)))
		if i > 0 {
			b.WriteString("  ")
		}
		if t.right[i] {
			b.WriteString(pad)
		}
		if t.colors && c.color != plain {
			b.WriteString(string(c.color) + c.text + colorOff)
		} else {
			b.WriteString(c.text)
		}
		if !t.right[i] && i < len(cells)-1 {
			b.WriteString(pad)
		}
	}
	b.WriteByte('\n')
	_, t.err = io.WriteString(t.w, b.String())
}

// terminal is what a command writes to if that is a terminal, below what escapes text on the way; else nil.
func terminal(w io.Writer) *os.File {
	if p, ok := w.(*printable.Writer); ok {
		w = p.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}

// colored says whether a terminal is to show colors.
func colored(f *os.File, env func(string) string) bool {
	return f != nil && env("NO_COLOR") == "" && env("TERM") != "dumb"
}
