package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/marked"
)

const maxFile = 16 << 20 // bytes: some 150,000 tokens

// ErrNoToken says that no token has the ID.
var ErrNoToken = errors.New("no such token")

// File is a file of tokens: a line for each, and comments, which begin with "#". What it holds lets nobody enrol.
type File struct {
	path    string
	lines   []line
	bySum   map[[sha256.Size]byte]int // index of its line
	changed bool
}

// line is a token, or text that is none.
type line struct {
	text  string
	token *Token
}

// Load reads the file. One fault in it is an error: what cannot be read whole honours nothing.
func Load(path string) (*File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("tokens: %s has over %d MB; revoke tokens that are no longer needed", path, maxFile>>20)
	}
	f := &File{path: path}
	return f, f.parse(string(marked.Text(text)))
}

func (f *File) parse(text string) error {
	f.bySum = make(map[[sha256.Size]byte]int)
	n := 0
	for text := range strings.Lines(text) {
		n++
		text = strings.TrimRight(text, "\r\n")
		if text == "" || text[0] == '#' {
			f.lines = append(f.lines, line{text: text})
			continue
		}
		t, err := parseLine(text)
		if _, has := f.bySum[t.Sum]; has && err == nil {
			err = errors.New("the token is there twice; remove one of the two lines")
		}
		if err != nil {
			return fmt.Errorf("tokens: %s:%d: %w", filepath.Base(f.path), n, err)
		}
		f.add(t)
	}
	return nil
}

func (f *File) add(t Token) {
	f.bySum[t.Sum] = len(f.lines)
	f.lines = append(f.lines, line{token: &t})
}

// Edit changes the file at path by calling change, and saves it. Other Edits wait meanwhile, until ctx ends. Where change
// returns an error, only what it has saved itself is written. A missing file is an empty one.
func Edit(ctx context.Context, path string, change func(*File) error) error {
	unlock, err := durable.LockFile(ctx, path)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	defer unlock()
	f, err := Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		f = &File{path: path}
		err = f.parse("")
	}
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	return f.Save()
}

// Save writes the file (0600 where it is new) if it was changed. It is for use within Edit.
func (f *File) Save() error {
	if !f.changed {
		return nil
	}
	var b strings.Builder
	for _, l := range f.lines {
		if l.token != nil {
			l.text = l.token.line()
		}
		b.WriteString(l.text + "\n")
	}
	if b.Len() > maxFile {
		return fmt.Errorf("tokens: %s would have over %d MB, and could not be read; revoke tokens that are no longer needed", f.path, maxFile>>20)
	}
	if err := durable.ReplaceFile(f.path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	f.changed = false
	return nil
}

// All are the tokens, in the order of the file.
func (f *File) All() []Token {
	var all []Token
	for _, l := range f.lines {
		if l.token != nil {
			all = append(all, *l.token)
		}
	}
	return all
}

// Add makes a token with these limits (Sum is made) and returns its text. Tokens that have expired are dropped meanwhile. One that
// is used up stays until then, so that who comes late with it is told so; without an expiry it is dropped, too.
func (f *File) Add(t Token, fingerprint string, now time.Time) (Text, Token) {
	f.drop(func(t *Token) bool { return t.expired(now) || t.Uses == 0 && t.Expires.IsZero() })
	text := New(fingerprint)
	t.Sum = sha256.Sum256([]byte(text.Password()))
	t.Expires = t.Expires.UTC().Truncate(time.Second)
	f.add(t)
	f.changed = true
	return text, t
}

// Revoke ends the token with the ID.
func (f *File) Revoke(id string) error {
	if f.drop(func(t *Token) bool { return t.ID() == id }) == 0 {
		return fmt.Errorf("%w: %.40q is not in %s; ossecd keygen token list shows all", ErrNoToken, id, f.path)
	}
	return nil
}

// drop takes out the tokens that ended says, and returns how many.
func (f *File) drop(ended func(*Token) bool) int {
	before := len(f.lines)
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool { return l.token != nil && ended(l.token) })
	clear(f.bySum)
	for i, l := range f.lines {
		if l.token != nil {
			f.bySum[l.token.Sum] = i
		}
	}
	f.changed = f.changed || len(f.lines) < before
	return before - len(f.lines)
}

// Find is the token that an agent sent in place of a password; ErrUnknown where there is none. It is looked up by its
// SHA-256, so that how long that takes says nothing about other tokens.
func (f *File) Find(password string) (*Token, error) {
	if text, ok := sent(password); ok {
		if i, ok := f.bySum[sha256.Sum256([]byte(text))]; ok {
			return f.lines[i].token, nil
		}
	}
	return nil, ErrUnknown
}

// Spend takes one use from a token that Find returned.
func (f *File) Spend(t *Token) {
	if t.Uses > 0 {
		t.Uses--
		f.changed = true
	}
}
