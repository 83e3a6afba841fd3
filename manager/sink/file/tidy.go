package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A file that is set aside has the time of that added to its name, in UTC so that names sort by age:
//
//	events.json.20261123T035023.123Z, and .gz once it is compressed
const asideForm = "20060102T150405.000Z"

// agedEvery is how often files are looked for that have become too old.
const agedEvery = time.Hour

var asideEnd = regexp.MustCompile(`^\.\d{8}T\d{6}\.\d{3}Z(\.gz)?$`)

// partEnd is the end of the name of a file that is being compressed.
const partEnd = ".gz.part"

// asideName is a name that no file has, and the time in it, from now on.
func asideName(path string, now time.Time) (string, time.Time, error) {
	for range 1000 {
		name := path + "." + now.UTC().Format(asideForm)
		_, plain := os.Lstat(name)
		_, packed := os.Lstat(name + ".gz")
		if errors.Is(plain, os.ErrNotExist) && errors.Is(packed, os.ErrNotExist) {
			return name, now, nil
		}
		now = now.Add(time.Millisecond)
	}
	return "", now, fmt.Errorf("%s: there is a file for every name that a rotated file could get; move these away", path)
}

// tidy compresses files that were set aside and removes the oldest of them, in a goroutine of its own. What a stop
// interrupts is done after the next start.
type tidy struct {
	o    Options
	log  *slog.Logger
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

func startTidy(o Options, log *slog.Logger) *tidy {
	ctx, stop := context.WithCancel(context.Background())
	t := &tidy{o: o, log: log, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	t.nudge()
	go func() {
		defer close(t.done)
		var aged <-chan time.Time
		if o.MaxAge > 0 {
			tick := time.NewTicker(agedEvery)
			defer tick.Stop()
			aged = tick.C
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-aged:
				t.nudge()
			case <-t.wake:
				if err := t.run(ctx); err != nil && ctx.Err() == nil {
					log.Error("rotated files of events are not all compressed or removed; tried again after the next rotation", "events", o.Path, "err", err,
						"remedy", "free space on the disk, and let this user create and remove files in the directory")
				}
			}
		}
	}()
	return t
}

func (t *tidy) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tidy) close() {
	t.stop()
	<-t.done
}

// run goes over all files that were set aside.
func (t *tidy) run(ctx context.Context) error {
	dir, base := filepath.Split(t.o.Path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return err
	}
	var aside []string
	for _, e := range entries { // sorted by name
		end, ok := strings.CutPrefix(e.Name(), base)
		if ok && e.Type().IsRegular() && asideEnd.MatchString(end) {
			aside = append(aside, dir+e.Name())
		}
		if stale, isPart := strings.CutSuffix(end, partEnd); ok && isPart && asideEnd.MatchString(stale) {
			err = errors.Join(err, os.Remove(dir+e.Name()))
		}
	}
	old := 0
	if t.o.Keep > 0 {
		old = max(len(aside)-t.o.Keep, 0)
	}
	if t.o.MaxAge > 0 {
		oldest := t.o.Path + "." + time.Now().Add(-t.o.MaxAge).UTC().Format(asideForm)
		for old < len(aside) && filepath.Base(aside[old]) < filepath.Base(oldest) {
			old++
		}
	}
	for _, name := range aside[:old] {
		err = errors.Join(err, os.Remove(name))
	}
	aside = aside[old:]
	if !t.o.Compress {
		return err
	}
	for _, name := range slices.Backward(aside) {
		if ctx.Err() == nil && !strings.HasSuffix(name, ".gz") {
			err = errors.Join(err, compress(ctx, name))
		}
	}
	return err
}

// compress replaces a file with a compressed one of the same mode.
func compress(ctx context.Context, name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	part := name + partEnd
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(part)
		}
	}()
	z := gzip.NewWriter(out)
	if _, err = io.Copy(z, stopped{ctx, in}); err != nil {
		return err
	}
	if err = z.Close(); err != nil {
		return err
	}
	if err = out.Sync(); err != nil {
		return err
	}
	if err = out.Close(); err != nil {
		return err
	}
	if err = os.Rename(part, name+".gz"); err != nil {
		return err
	}
	in.Close() // Windows removes no open file
	return os.Remove(name)
}

// stopped reads until its context ends.
type stopped struct {
	ctx context.Context
	r   io.Reader
}

func (s stopped) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
