package sink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/manager/journal"
)

// What the version before the journal left for its sinks, after a stop, a kill, or a kill while it was being delivered, is delivered first, each
// event once and in order, even if that takes several starts; then it is removed.
func TestEarlierQueues(t *testing.T) {
	t.Parallel()
	numbers := func(text string, n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%s %d", text, i+1))
		}
		return list
	}
	web := slices.Concat(numbers("early web", 50), numbers("late web", 150))
	all := slices.Concat(numbers("early web", 50), numbers("late db", 100), numbers("late web", 150))
	for left, waits := range map[string]int{"stopped": 240, "killed": 237, "resumed": 189} { // for the analysis daemon, which had taken the others
		for place, want := range map[string][]string{"analysis": all[len(all)-waits:], "to=20nats": web} {
			t.Run(left+" "+place, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					root := filepath.Join("..", "..", "testdata", "upgrade", left)
					dir := filepath.Join(t.TempDir(), "sinks")
					own := filepath.Join(dir, place)
					if err := os.CopyFS(own, os.DirFS(filepath.Join(root, "sinks", place))); err != nil {
						t.Fatal(err)
					}
					r := &reader{}
					r.set(errors.New("away"), 70) // it takes some, and no more
					s := spec(r)
					s.Earlier, s.Write = own, 1<<20
					lim := limits{dir: t.TempDir()}
					sinks := start(t, quiet, lim, s)
					sinks.give("new 1", nil)
					synctest.Wait()
					c := sinks.list[0].counts()
					adds(t, c)
					if c.Delivered == 0 || c.Pending == 0 || c.Lost > 0 {
						t.Errorf("%+v", c)
					}
					if err := sinks.Close(time.Second); err != nil {
						t.Error(err)
					}
					if _, err := os.Stat(own); err != nil {
						t.Error("removed before all was delivered")
					}
					r.set(nil, 0)
					sinks = start(t, quiet, lim, s)
					sinks.give("new 2", nil)
					end(t, sinks)
					if _, err := os.Stat(dir); err == nil {
						t.Error("not removed")
					}
					end(t, start(t, quiet, lim, s))
					var got []string
					for line := range strings.Lines(r.String()) {
						if !strings.HasPrefix(line, "{") { // reports that somebody connected
							got = append(got, strings.TrimSpace(line))
						}
					}
					if want := append(slices.Clone(want), "new 1", "new 2"); !slices.Equal(got, want) {
						t.Errorf("%d came, want %d: %q", len(got), len(want), got)
					}
				})
			})
		}
	}
}

// A record of the earlier version keeps all that it says, and its serial.
func TestEarlierRecord(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "short", strings.Repeat("x", 100)} {
		if b := appendEarlier(nil, []byte(odd)); len(b) > 0 {
			t.Errorf("%q became %q", odd, b)
		}
	}
	old := []byte("\x4a\x00\x00\x00" + "\x15\xcd\x5b\x07\x00\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "1\x03\x00\x03\x05\x03\x06\x00\x0a\x00" + "\x99\x00\x00\x00\x00\x00\x00\x00" +
		"src" + "001" + "web01" + "any" + `{"a":"b"}` + " " + "/var/x" + "hello")
	old[0] = byte(len(old))
	b := appendEarlier(nil, old)
	var e Event
	if !b.Next(&e) || string(e.ID)+string(e.Name)+string(e.IP)+string(e.Labels)+string(e.Location)+string(e.Message)+string(e.Source) != `001web01any{"a":"b"} /var/xhellosrc` ||
		e.Serial != 0x99 || e.Count != 7 || e.Time.UnixNano() != 123456789 || e.Queue != '1' {
		t.Errorf("%+v", e)
	}
	if got := journal.Number(appendEarlier(nil, old)); got != 0x99 {
		t.Errorf("serial %x", got)
	}
}

// Where the oldest files are gone, what they held is lost, and counted.
func TestEarlierQueueWithoutItsOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		own := filepath.Join(t.TempDir(), "sinks", "x")
		if err := os.CopyFS(own, os.DirFS(filepath.Join("..", "..", "testdata", "upgrade", "resumed", "sinks", "analysis"))); err != nil {
			t.Fatal(err)
		}
		segments, err := filepath.Glob(filepath.Join(own, "0*"))
		if err != nil || len(segments) == 0 {
			t.Fatal(segments, err)
		}
		if err := os.Rename(segments[0], filepath.Join(own, "0000000000001000")); err != nil { // as if all below were in others
			t.Fatal(err)
		}
		r := &reader{}
		s := spec(r)
		s.Earlier, s.Write = own, 1<<20
		sinks := start(t, quiet, limits{dir: t.TempDir()}, s)
		synctest.Wait()
		c := sinks.list[0].counts()
		adds(t, c)
		if c.Lost == 0 || c.Delivered == 0 || c.Pending > 0 {
			t.Errorf("%+v", c)
		}
		end(t, sinks)
	})
}
