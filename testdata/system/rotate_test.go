package system

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/testdata/program"
)

// rotating is a manager and an agent whose key is rotated.
type rotating struct {
	t              *testing.T
	dir            string
	listen         string
	manager, agent *program.Process
	starts, said   int
}

func (r *rotating) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rotating) startManager() {
	r.t.Helper()
	r.starts++
	name := fmt.Sprint("manager", r.starts)
	r.manager = runDaemon(r.t, r.dir, name, "manager", "--keys", "client.keys", "--state", "m", "--listen", r.listen, "--events", "events.json")
	r.listen = string(waitForFile(r.t, r.path(name+".err"), program.ListenLine, 1)[0][1])
}

func (r *rotating) startAgent() {
	r.t.Helper()
	r.starts++
	r.agent = runDaemon(r.t, r.dir, fmt.Sprint("agent", r.starts), "agent", "--keys", "agent.keys", "--state", "a", "--manager", r.listen, "--file", "app.log",
		"--from-start", "--notify-time", "100ms", "--time-reconnect", "3s")
}

// talks has the agent send something, and waits for it.
func (r *rotating) talks() {
	r.t.Helper()
	r.said++
	f, err := os.OpenFile(r.path("app.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintf(f, "said %d\n", r.said)
	f.Close()
	waitForFile(r.t, r.path("events.json"), regexp.MustCompile(fmt.Sprintf(`"said %d"`, r.said)), 1)
}

func (r *rotating) edit(change func(*keys.File) error) {
	r.t.Helper()
	if err := keys.Edit(r.t.Context(), r.path("client.keys"), change); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rotating) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *rotating) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// settled waits until both sides have the key alone.
func (r *rotating) settled(next keys.Key) {
	r.t.Helper()
	line := regexp.MustCompile("^" + regexp.QuoteMeta(next.Line()) + "\n$")
	waitForFile(r.t, r.path("agent.keys"), line, 1)
	waitForFile(r.t, r.path("client.keys"), line, 1)
	r.talks()
}

// What a kill of either side, or of both, can leave on the disks is this: after each write of the rotation both start from
// there, talk, and end with the new key on both sides.
func TestRotationFromEachStep(t *testing.T) {
	t.Parallel()
	for step, name := range []string{"not ordered", "ordered", "in the agent's file", "in the manager's file", "noted"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rotating{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
			writeKey(t, r.dir)
			r.write("agent.keys", r.read("client.keys"))
			r.startManager()
			r.startAgent()
			r.talks()
			r.agent.Kill()
			r.manager.Kill()

			var next keys.Key
			order := func(f *keys.File) (err error) {
				next, _, err = f.Rotate("001", time.Now())
				return err
			}
			if step >= 1 {
				r.edit(order)
			}
			if step >= 2 {
				r.write("agent.keys", next.Line()+"\n")
			}
			if step >= 3 {
				notes := r.read("client.keys.notes")
				r.edit(func(f *keys.File) error { return f.Promote(next) })
				if step == 3 {
					r.write("client.keys.notes", notes)
				}
			}
			if step%2 == 0 {
				r.startManager()
				r.startAgent()
			} else {
				r.startAgent()
				r.startManager()
			}
			r.talks()
			if step == 0 {
				r.edit(order)
			}
			r.settled(next)
		})
	}
}

// One side or the other is killed while the rotation goes on, at any moment.
func TestRotationKilled(t *testing.T) {
	t.Parallel()
	r := &rotating{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
	writeKey(t, r.dir)
	r.write("agent.keys", r.read("client.keys"))
	r.startManager()
	r.startAgent()
	r.talks()
	for round := range 2 * rounds(t) {
		var next keys.Key
		r.edit(func(f *keys.File) (err error) {
			next, _, err = f.Rotate("001", time.Now())
			return err
		})
		time.Sleep(rand.N(1500 * time.Millisecond)) // the manager sees the order within a second
		if round%2 == 0 {
			r.agent.Kill()
			r.startAgent()
		} else {
			r.manager.Kill()
			r.startManager()
		}
		r.talks()
		r.settled(next)
	}
}
