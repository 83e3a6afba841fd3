package response

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	errTimeout = errors.New("took too long and was killed")
	errAborted = errors.New("the same is in force already")
)

const (
	maxAnswer = 64 << 10 // bytes of a program's question
	maxSaid   = 200      // bytes of what it says on standard error that are told
	linger    = time.Second
)

// find is the path of a program that may be run: a regular file in a directory that only its owner may change, as the file; and that is
// the superuser, or we.
func find(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	for _, at := range []string{dir, path} {
		info, err := os.Lstat(at)
		switch {
		case err != nil:
			return "", fmt.Errorf("%w; put the program there, or remove it from allow", err)
		case info.Mode().Perm()&0o022 != 0:
			return "", fmt.Errorf("%s is writable for its group or for others; run chmod go-w on it", at)
		case !trusted(info, os.Geteuid()):
			return "", fmt.Errorf("%s belongs to another user, who could change what runs as this one; chown it to root", at)
		case at == dir && !info.IsDir() || at == path && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0):
			return "", fmt.Errorf("%s must be a directory with programs in it, and neither may be a link", at)
		}
	}
	return path, nil
}

// command prepares a program: with no environment but a path, and no other directory than the root.
func command(ctx context.Context, path string, args ...string) (*exec.Cmd, *said) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = string(filepath.Separator)
	cmd.WaitDelay = linger
	err := &said{}
	cmd.Stderr = err
	ownGroup(cmd)
	return cmd, err
}

// execArgs runs a program with arguments.
func execArgs(ctx context.Context, path string, args []string) error {
	cmd, said := command(ctx, path, args...)
	return said.explain(ctx, cmd.Run())
}

// execJSON runs a program with a line of JSON. It may ask once, with "check_keys", whether it shall go on.
func execJSON(ctx context.Context, path, action string, order map[string]json.RawMessage, mayGoOn func(keys []string) bool) (keys []string, err error) {
	text, err := line(order, action, path)
	if err != nil {
		return nil, err
	}
	cmd, said := command(ctx, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { in.Close(); out.Close() }) // a child of its own may hold them open
	defer stop()
	go in.Write(text) // it need not read it; ends with the pipe
	var aborted bool
	question, _ := bufio.NewReaderSize(out, maxAnswer).ReadSlice('\n')
	if asked, ok := parseQuestion(question); ok && mayGoOn != nil {
		answer := "continue"
		keys = asked
		if aborted = !mayGoOn(keys); aborted {
			answer = "abort"
		}
		fmt.Fprintf(in, `{"version":1,"origin":{"name":"ossecd","module":"ossecd"},"command":%q,"parameters":{}}`+"\n", answer)
	}
	in.Close()
	io.Copy(io.Discard, out)
	err = said.explain(ctx, cmd.Wait())
	if aborted {
		return keys, errAborted
	}
	return keys, err
}

// parseQuestion takes a program's question apart.
func parseQuestion(text []byte) (keys []string, ok bool) {
	var q struct {
		Command    string
		Parameters struct{ Keys []string }
	}
	if json.Unmarshal(text, &q) != nil || q.Command != "check_keys" || len(q.Parameters.Keys) == 0 || len(q.Parameters.Keys) > maxArgs {
		return nil, false
	}
	for _, k := range q.Parameters.Keys {
		if len(k) > maxArg || strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, false
		}
	}
	return q.Parameters.Keys, true
}

// said keeps the beginning of what a program says on standard error.
type said struct{ bytes []byte }

func (s *said) Write(p []byte) (int, error) {
	s.bytes = append(s.bytes, p[:min(len(p), maxSaid-len(s.bytes))]...)
	return len(p), nil
}

func (s *said) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if context.Cause(ctx) == errTimeout {
		err = errTimeout
	}
	if text := bytes.TrimSpace(s.bytes); len(text) > 0 {
		err = fmt.Errorf("%w: %q", err, text)
	}
	return err
}
