package keys

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ossecd/proto"
)

// killedEnv tells the test binary to be the process that is killed: FILE and the first count.
const killedEnv = "OSSECD_TEST_KILLED"

// TestReceivedKilled kills a process that accepts counts as fast as it can, 25 times, at random instants. All that
// it had accepted must be refused by the next one, and what is fresh must pass.
func TestReceivedKilled(t *testing.T) {
	if arg := os.Getenv(killedEnv); arg != "" {
		acceptUntilKilled(t, arg)
		return
	}
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "received")
			accepted := make(map[string][]uint64) // by agent, over all lives
			total := 0
			for life := range 25 {
				from := uint64(1+life) * 1_000_000_000
				out := runAndKill(t, fmt.Sprintf("%s %d %s", name, from, path))
				total += readAccepted(t, out, accepted)
				r := open(t, path, way)
				for id, counts := range accepted {
					s := slot(t, r, id, "key", "", none)
					for _, v := range counts {
						if got := s.Judge(v); got.Passes() {
							t.Fatalf("life %d: agent %s: %d is %v, but it was accepted before the kill", life, id, v, got)
						}
					}
					if got := s.Judge(s.Highest() + 1); got != proto.Fresh {
						t.Fatalf("life %d: agent %s: %d is %v, want fresh", life, id, s.Highest()+1, got)
					}
					// The last one written may be a late one, and the one not written yet far ahead.
					if last := counts[len(counts)-1]; last >= from && s.Highest() > last+proto.WindowWidth+64*50 {
						t.Fatalf("life %d: agent %s: highest %d is far above the last accepted %d", life, id, s.Highest(), last)
					}
				}
				shut(t, r)
			}
			if total < 1000 {
				t.Errorf("only %d counts were accepted in all", total)
			}
			t.Logf("%d counts of %d agents, none twice", total, len(accepted))
		})
	}
}

// runAndKill runs this test as the process to be killed and returns what it wrote.
func runAndKill(t *testing.T, arg string) []byte {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestReceivedKilled$")
	cmd.Env = append(os.Environ(), killedEnv+"="+arg)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	first := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := bufio.NewReader(pipe)
		line, _ := r.ReadBytes('\n')
		out.Write(line)
		close(first)
		out.ReadFrom(r)
	}()
	<-first // it is at work
	time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	cmd.Wait()
	return out.Bytes()
}

// readAccepted adds the lines "ID COUNT" to accepted and tells how many; the last may be cut.
func readAccepted(t *testing.T, out []byte, accepted map[string][]uint64) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(string(out)) {
		id, count, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || !strings.HasSuffix(line, "\n") {
			continue
		}
		v, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			t.Fatalf("the process wrote %q", line)
		}
		accepted[id] = append(accepted[id], v)
		n++
	}
	return n
}

// acceptUntilKilled accepts counts in order, late and far ahead, for more and more agents, and writes each one down
// after it was accepted: in place of the event.
func acceptUntilKilled(t *testing.T, arg string) {
	way, rest, _ := strings.Cut(arg, " ")
	first, path, _ := strings.Cut(rest, " ")
	from, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, path, ways[way])
	var slots []*Slot
	var line []byte
	for n := uint64(0); ; n++ {
		if n%16 == 0 {
			id := strconv.Itoa(len(slots))
			slots = append(slots, slot(t, r, id, "key", "", none))
		}
		s := slots[rand.IntN(len(slots))]
		v := max(s.Highest(), from)
		switch rand.IntN(8) {
		case 0:
			v -= rand.Uint64N(proto.WindowWidth)
		case 1:
			v += 64 * rand.Uint64N(50)
		default:
			v += 1 + rand.Uint64N(3)
		}
		if s.Accept(v).Passes() {
			line = append(line[:0], s.ID()...)
			line = append(line, ' ')
			line = strconv.AppendUint(line, v, 10)
			line = append(line, '\n')
			if _, err := os.Stdout.Write(line); err != nil {
				t.Fatal(err)
			}
		}
	}
}
