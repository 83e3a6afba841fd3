package system

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ossecd/testdata/program"
)

// TestEnrolmentRate prints at what rate the real manager gives out keys, and for how much of its CPU, with none and with 10,000
// agents known. The agents, 600 at a time, are on the same cores.
func TestEnrolmentRate(t *testing.T) {
	if os.Getenv("OSSECD_PERFORMANCE") == "" {
		t.Skip("a measurement, for a quiet machine: OSSECD_PERFORMANCE=1")
	}
	const each = 10_000
	for _, known := range []int{0, 10_000} {
		dir := t.TempDir()
		if known > 0 {
			add := exec.Command("ossecd", "keygen", "add", "-", "--keys", filepath.Join(dir, "client.keys"))
			var names strings.Builder
			for n := range known {
				fmt.Fprintf(&names, "old%d\n", n)
			}
			add.Stdin = strings.NewReader(names.String())
			if out, err := add.CombinedOutput(); err != nil {
				t.Fatalf("%v: %.500s", err, out)
			}
		}
		d := runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0", "--events", "events.json")
		addr := string(waitForFile(t, filepath.Join(dir, "manager.err"), regexp.MustCompile(`msg="enrolment listening" addr=(\S+)`), 1)[0][1])
		var left, names atomic.Int64
		left.Store(each)
		var running sync.WaitGroup
		began := time.Now()
		for range 600 {
			running.Go(func() {
				for left.Add(-1) >= 0 {
					if err := enrolOnce(addr, names.Add(1)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		running.Wait()
		took := time.Since(began)
		d.Cmd.Process.Signal(os.Interrupt)
		if !d.Wait(program.WaitLimit) {
			t.Fatal("the manager does not end")
		}
		cpu := d.Cmd.ProcessState.UserTime() + d.Cmd.ProcessState.SystemTime()
		t.Logf("%d agents known: %.0f enrolments a second, %.2f ms of the manager's CPU each", known, each/took.Seconds(), cpu.Seconds()*1000/each)
	}
}

// enrolOnce gets a key for a name, from an address of its own since each may come so often only.
func enrolOnce(addr string, n int64) error {
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))}
	raw, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(30 * time.Second))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	fmt.Fprintf(conn, "OSSEC A:'agent%d'\n", n)
	answer, err := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "OSSEC K:'") {
		return fmt.Errorf("answered %q: %v", answer, err)
	}
	return nil
}
