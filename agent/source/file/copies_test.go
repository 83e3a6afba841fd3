package file

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// copyTruncate copies a file as copytruncate does, and truncates it.
func (r *rig) copyTruncate(from, to string) {
	r.t.Helper()
	text, err := os.ReadFile(r.path(from))
	r.must(err)
	r.must(os.WriteFile(r.path(to), text, 0o644))
	r.must(os.Truncate(r.path(from), 0))
}

func TestCopyInGlob(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]int{"one": 1, "twenty": 20, "many": 50_000} {
		for _, to := range []string{"app.log.1", "app.log-20261127", "app.log~"} {
			t.Run(name+" to "+to, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, "app.log*")
				r.append("app.log", "")
				r.start()
				var want []string
				var text strings.Builder
				for i := range lines {
					want = append(want, fmt.Sprint("line ", i))
					fmt.Fprintln(&text, want[i])
				}
				r.append("app.log", text.String())
				r.want("", want...)
				r.copyTruncate("app.log", to)
				r.append("app.log", "next\n")
				want = append(want, "next")
				r.want("", want...)
				still()
				r.stop()
				r.start()
				r.append("app.log", "last\n")
				r.want("", append(want, "last")...)
			})
		}
	}
}

func TestCopyWhileDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log*")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "a\nb\n")
	r.want("", "a", "b")
	r.stop()
	r.append("app.log", "c\n")
	r.copyTruncate("app.log", "app.log.1")
	r.append("app.log", "d\n")
	r.start()
	r.wantSorted("a", "b", "c", "d")
	r.stop()
	r.start()
	r.append("app.log", "e\n")
	r.wantSorted("a", "b", "c", "d", "e")
}

// A copy that nobody truncates the file after is no news. When something else is written to it, it only began like the file, and is
// read whole: nothing tells it from a file with the same header.
func TestCopyThatStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log*")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "a\nb\n")
	r.want("", "a", "b")
	r.append("app.log.bak", "a\nb\n")
	still()
	r.append("app.log", "c\n")
	r.want("", "a", "b", "c")
	r.append("app.log.bak", "other\n")
	r.want("", "a", "b", "c", "a", "b", "other")
}

// Files that merely begin alike are read whole.
func TestNoCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.csv*")
	r.append("a.csv", "")
	r.start()
	header := "time,host,text " + strings.Repeat("x", 300) + "\n"
	r.append("a.csv", header)
	h := strings.TrimSuffix(header, "\n")
	r.want("", h)
	r.append("b.csv", header+"b1\n")
	r.want(r.path("b.csv"), h, "b1")
	r.append("a.csv", "a1\n")
	r.append("a.csv.2", header+"another\n")
	r.want(r.path("a.csv.2"), h, "another")
	r.want(r.path("a.csv"), h, "a1")
	r.must(os.Truncate(r.path("a.csv"), 0))
	r.append("a.csv", "new\n")
	r.want(r.path("a.csv"), h, "a1", "new")
	r.append("a.csv.3", header+"b1 and more\n")
	r.want(r.path("a.csv.3"), h, "b1 and more")
}

// What was read since the positions were saved last counts, too, when a file is held against one that was truncated.
func TestNoCopiesBetweenSaves(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"short": "time,host\n", "long": "time,host,text " + strings.Repeat("x", 300) + "\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a.csv*")
			r.pace.save = time.Hour // but for what a new or truncated file waits for
			r.append("a.csv", "")
			r.start()
			h := strings.TrimSuffix(header, "\n")
			r.append("a.csv", header+"a1\n")
			r.want("", h, "a1")
			r.must(os.Truncate(r.path("a.csv"), 0))
			r.append("a.csv", "new\n")
			r.want("", h, "a1", "new")
			r.append("a.csv.3", header+"b1 and more\n")
			r.want(r.path("a.csv.3"), h, "b1 and more")
			// A true copy is still known, as it is here: what the file said last, truncated before any save.
			r.append("a.csv", "newer\n")
			r.want(r.path("a.csv"), h, "a1", "new", "newer")
			r.copyTruncate("a.csv", "a.csv.4")
			r.append("a.csv", "last\n")
			r.want(r.path("a.csv"), h, "a1", "new", "newer", "last")
			still()
			r.want(r.path("a.csv.3"), h, "b1 and more")
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := r.lines(r.path("a.csv.4")); len(got) > 0 {
				t.Errorf("a copy was read: %q", got)
			}
		})
	}
}

// Files whose headers are all they have at first are no copies either.
func TestNoCopiesThatGrow(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "*.csv")
			r.append("a.csv", "")
			r.start()
			r.append("a.csv", "time,host\n")
			r.want("", "time,host")
			r.append("a-2.csv", "time,host\n")
			still()
			if restart {
				r.stop()
				r.start()
			}
			r.append("a-2.csv", "b1\n")
			r.append("a.csv", "a1\n")
			r.want(r.path("a-2.csv"), "time,host", "b1")
			r.want(r.path("a.csv"), "time,host", "a1")
		})
	}
}

func (r *rig) wantSorted(lines ...string) {
	r.t.Helper()
	r.wait(r.t, fmt.Sprint(lines), func() bool {
		var got []string
		for _, e := range r.events {
			got = append(got, e.text)
		}
		slices.Sort(got)
		return slices.Equal(got, lines)
	})
}

// A copy that waits is still one after a restart, whether the file was truncated meanwhile or not.
func TestCopyThatWaitsOverRestart(t *testing.T) {
	t.Parallel()
	for name, truncated := range map[string]bool{"stands": false, "truncated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "app.log*")
			r.append("app.log", "")
			r.start()
			r.append("app.log", "a\nb\n")
			r.want("", "a", "b")
			r.append("app.log.1", "a\nb\n")
			still()
			r.stop()
			if truncated {
				r.must(os.Truncate(r.path("app.log"), 0))
			}
			r.append("app.log", "c\n")
			r.start()
			r.want("", "a", "b", "c")
			still()
			r.append("app.log", "d\n")
			r.want("", "a", "b", "c", "d")
		})
	}
}

// A copy that was copied again or renamed while the agent was down is none the less one.
func TestCopiesRotatedWhileDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log*")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "x\n")
	r.want("", "x")
	r.copyTruncate("app.log", "app.log.1")
	r.append("app.log", "a\nb\n")
	r.want("", "x", "a", "b")
	still()
	r.stop()
	for i, line := range []string{"c", "d"} {
		r.append("app.log", line+"\n")
		for n := i + 1; n > 0; n-- {
			r.must(os.Rename(r.path(fmt.Sprint("app.log.", n)), r.path(fmt.Sprint("app.log.", n+1))))
		}
		r.copyTruncate("app.log", "app.log.1")
	}
	r.append("app.log", "e\n")
	r.start()
	r.wantSorted("a", "b", "c", "d", "e", "x")
	still()
	r.wantSorted("a", "b", "c", "d", "e", "x")
}

// A copy that waits and is replaced makes room for the new file of its name.
func TestWaitingCopyIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log*")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "a\nb\n")
	r.want("", "a", "b")
	r.append("app.log.bak", "a\nb\n")
	still()
	r.must(os.Rename(r.path("app.log.bak"), r.path("old")))
	r.append("app.log.bak", "other\n")
	r.want("", "a", "b", "other")
}

// kill ends the source as a kill does at this moment: what it saves at its end is not there.
func (r *rig) kill() {
	r.t.Helper()
	names := []string{r.cfg.Positions, r.cfg.Positions + ".hot"}
	var texts [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		r.must(err)
		texts = append(texts, text)
	}
	r.stop()
	for i, name := range names {
		r.must(os.WriteFile(name, texts[i], 0o600))
	}
}

// A copy is known as one over a kill and over an end in order, whenever that comes; also where it is seen only afterwards.
func TestCopyOverAnEnd(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{1, 20, 5_000} {
		for _, kind := range []string{"killed", "ended"} {
			for _, moment := range []string{"before the copy", "before the truncation", "after the truncation", "before the copy is seen"} {
				t.Run(fmt.Sprint(lines, " ", kind, " ", moment), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, "app.log*")
					r.pace.save = time.Hour
					r.append("app.log", "")
					r.start()
					var text strings.Builder
					var want []string
					for i := range lines {
						want = append(want, fmt.Sprint("line ", i))
						fmt.Fprintln(&text, want[i])
					}
					r.append("app.log", text.String())
					r.want("", want...)
					end := func(here string) {
						if here != moment {
							return
						}
						still() // the last batch is taken in
						if kind == "killed" {
							r.kill()
						} else {
							r.stop()
						}
						r.append("app.log", "down\n")
						want = append(want, "down")
					}
					end("before the copy")
					copied, err := os.ReadFile(r.path("app.log"))
					r.must(err)
					to := "app.log.1"
					if moment == "before the copy is seen" {
						to = "elsewhere"
					}
					r.must(os.WriteFile(r.path(to), copied, 0o600))
					if moment == "before the truncation" {
						still()
						if kind == "killed" {
							r.kill()
						} else {
							r.stop()
						}
					}
					r.must(os.Truncate(r.path("app.log"), 0))
					r.append("app.log", "next\n")
					want = append(want, "next")
					if strings.HasSuffix(moment, "after the truncation") || to == "elsewhere" {
						r.want("", want...)
					}
					end("after the truncation")
					end("before the copy is seen")
					if to == "elsewhere" {
						r.rename(to, "app.log.1")
					}
					r.start()
					r.append("app.log", "last\n")
					want = append(want, "last")
					r.wait(t, "all", func() bool { return len(r.events) >= len(want) })
					still()
					slices.Sort(want)
					r.wantSorted(want...)
				})
			}
		}
	}
}
