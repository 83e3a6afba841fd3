//go:build unix

package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ossecd/keys/setting/settingtest"
)

// stockHome makes the directories of a stock agent, with a name that leaves room for a socket's.
func stockHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	for _, dir := range []string{"etc/shared", "queue/rids", "queue/ossec", "queue/alerts", "var/run", "active-response/bin"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func TestStockLayout(t *testing.T) {
	t.Parallel()
	home := stockHome(t)
	queue := filepath.Join(home, "queue/ossec/queue")
	for _, tt := range []struct {
		name string
		home string
		do   func() func() // before; what it returns is done after
		want string        // in the error of a start; none if empty
	}{
		{"no stock layout", "", nil, ""},
		{"free", home, nil, ""},
		{"no directory", filepath.Join(home, "none"), nil, "is " + filepath.Join(home, "none") + " the directory of a stock agent"},
		{"a file for a directory", home, func() func() {
			dir := filepath.Join(home, "etc/shared")
			if err := errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o750)); err != nil {
					t.Fatal(err)
				}
			}
		}, "etc/shared is not a directory"},
		{"in use", home, func() func() {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: queue, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			return func() { c.Close() }
		}, "ossec-home: " + queue + " is in use by "},
		{"left behind", home, nil, ""}, // the socket of the case before
	} {
		after := func() {}
		if tt.do != nil {
			after = tt.do()
		}
		c := Config{OssecHome: tt.home}
		err := c.checkStock()
		if err == nil {
			sources := c.collector()
			sources.State = t.TempDir()
			err = sources.Prepare()
		}
		after()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
}

// A stock layout has places for all that an agent's own state directory has for stock programs.
func TestStockPlaces(t *testing.T) {
	t.Parallel()
	c := Config{State: "/s", OssecHome: "/h", Intake: Intake{ActiveResponse: settingtest.Table(t, "active_response", `{"enabled":true,"allow":["deny.sh"]}`)}}
	if got := []string{c.ridsDir(), c.sharedDir()}; got[0] != "/h/queue/rids" || got[1] != "/h/etc/shared" {
		t.Errorf("counters and shared files: %q", got)
	}
	if _, err := c.responses(nil); err != nil {
		t.Errorf("responses without dir: %v", err)
	}
	c.Tables = settingtest.Tables(t, "source", `{"type":"socket","path":"/v/queue/ossec/queue"}`, `{"type":"ossec-queue","path":"/elsewhere/queue"}`, `{"type":"command"}`)
	if roots := c.stockRoots(); !slices.Equal(roots, []string{"/h", "/v"}) {
		t.Errorf("integrity checks go to %q", roots)
	}
	if sources := c.collector(); sources.StockQueue != "/h/queue/ossec/queue" {
		t.Errorf("the local queue: %q", sources.StockQueue)
	}
	c.OssecHome = ""
	if _, err := c.responses(nil); err == nil {
		t.Error("responses without dir or stock layout")
	}
	if got := []string{c.ridsDir(), c.sharedDir()}; got[0] != "/s/rids" || got[1] != "/s/shared" {
		t.Errorf("counters and shared files: %q", got)
	}
}
