package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// The stock counter directory (docs/protocol.md, "Receiving"): one file per agent, named after its ID, and one
// for the own sending counter. Each holds "GLOBAL:LOCAL:"; the stock programs overwrite it in place, so digits of
// a longer, older text may follow. An empty file means that nothing was counted yet.

const (
	senderFile   = "sender_counter"
	ridsFileSize = 64    // the most that is read of a file; stock writes 17 bytes at most
	lastLocal    = 9_997 // the last local count of each global
	maxLocal     = 9_999 // what four digits can say
)

// errRids is what is wrong with the content of a counter file.
var errRids = errors.New(`want "GLOBAL:LOCAL:"`)

// AppendRids appends the text of a counter file to dst: nothing for the zero counter, which means none.
func AppendRids(dst []byte, c proto.Counter) []byte {
	if c == (proto.Counter{}) {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(c.Global), 10)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(c.Local), 10)
	return append(dst, ':')
}

// ParseRids reads the text of a counter file. The bool is false where it holds none. What follows the second
// colon may be leftover digits and colons, blanks and NULs; all else is an error.
func ParseRids(text []byte) (proto.Counter, bool, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return proto.Counter{}, false, nil
	}
	global, rest, ok1 := bytes.Cut(text, []byte{':'})
	local, rest, ok2 := bytes.Cut(rest, []byte{':'})
	g, err1 := strconv.ParseUint(string(global), 10, 32)
	l, err2 := strconv.ParseUint(string(local), 10, 32)
	leftover := bytes.Trim(rest, "0123456789: \r\n\x00")
	if !ok1 || !ok2 || err1 != nil || err2 != nil || l > maxLocal || len(leftover) > 0 {
		return proto.Counter{}, false, fmt.Errorf("%w, found %.40q", errRids, text)
	}
	c := proto.Counter{Global: uint32(g), Local: uint32(l)}
	return c, c != proto.Counter{}, nil
}

// ReadRids reads the received counter that dir has for the agent. The bool is false where it has none.
func ReadRids(dir, id string) (proto.Counter, bool, error) {
	if err := checkID(id); err != nil {
		return proto.Counter{}, false, err
	}
	c, ok, err := readRidsFile(dir, id)
	if errors.Is(err, errRids) {
		err = fmt.Errorf("%w: empty the file if the agent's old traffic need not be refused", err)
	}
	return c, ok, err
}

// WriteRids writes the received counter of the agent to dir, making the directory where it is missing. It is not
// synced: these files are for giving back to the stock programs, our own truth is Received.
func WriteRids(dir, id string, c proto.Counter) error {
	w, err := openRidsDir(dir)
	if err != nil {
		return err
	}
	defer w.Close()
	return w.write(id, c)
}

// readRidsFile reads one file of dir, which need not exist. It follows no link out of dir and waits for no pipe:
// in a stock install others may write there.
func readRidsFile(dir, name string) (proto.Counter, bool, error) {
	path := filepath.Join(dir, name)
	f, err := openRidsFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return proto.Counter{}, false, nil
	}
	if err != nil {
		return proto.Counter{}, false, fmt.Errorf("read counter: %w; make it a file that this user can read, no link", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return proto.Counter{}, false, fmt.Errorf("read counter: %w", err)
	}
	if !info.Mode().IsRegular() {
		return proto.Counter{}, false, fmt.Errorf("%s: %w, found something other than a regular file: remove it", path, errRids)
	}
	var buf [ridsFileSize]byte
	n, err := f.Read(buf[:])
	if err != nil && err != io.EOF {
		return proto.Counter{}, false, fmt.Errorf("read counter: %w", err)
	}
	c, ok, err := ParseRids(buf[:n])
	if err != nil {
		return proto.Counter{}, false, fmt.Errorf("%s: %w", path, err)
	}
	return c, ok, nil
}

// ridsDir writes many files of one directory.
type ridsDir struct {
	path string
	root *os.Root
	text []byte
}

func openRidsDir(dir string) (*ridsDir, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("write counters: %w; make the directory writable for this user", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("write counters: %w; make the directory accessible for this user", err)
	}
	return &ridsDir{path: dir, root: root}, nil
}

func (d *ridsDir) Close() error { return d.root.Close() }

// write overwrites the agent's file in place, as the stock programs do: a kill leaves the old or the new text.
func (d *ridsDir) write(id string, c proto.Counter) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write counter: %w; free space, or make it writable for this user", err)
		}
	}()
	if err := checkID(id); err != nil {
		return err
	}
	f, err := d.root.OpenFile(id, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = d.root.OpenFile(id, os.O_WRONLY|os.O_CREATE, 0o640); err == nil {
			err = durable.OwnAs(d.path, f)
		}
	}
	if f != nil {
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	if err != nil {
		return err
	}
	d.text = AppendRids(d.text[:0], c)
	if len(d.text) == 0 {
		return f.Truncate(0)
	}
	_, err = f.WriteAt(d.text, 0)
	return err
}

// checkID refuses what is no ID of client.keys: it would become a part of a path.
func checkID(id string) error {
	ok := len(id) >= 1 && len(id) <= proto.MaxIDLen
	for i := 0; ok && i < len(id); i++ {
		ok = id[i] >= '0' && id[i] <= '9'
	}
	if !ok {
		return fmt.Errorf("agent ID %.40q is not 1 to %d digits; correct it in client.keys", id, proto.MaxIDLen)
	}
	return nil
}
