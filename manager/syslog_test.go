package manager

import (
	"net"
	"net/netip"
	"ossecd/keys/setting/settingtest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/manager/listen"
)

// syslogRig is a manager with real sockets for syslog on loopback.
func syslogRig(t *testing.T, tables ...string) (r *rig, addrs []string) {
	dir := t.TempDir()
	r = &rig{t: t, out: new(syncBuffer), logs: new(syncBuffer)}
	r.cfg = Config{Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Out: r.out, Syslog: settingtest.Tables(t, "syslog", tables...)}
	r.writeKeys(anyLine)
	conn, err := listen.Open("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	r.startOn(conn)
	for _, m := range regexp.MustCompile(`msg="listening for syslog".* addr=(\S+)`).FindAllStringSubmatch(r.logs.String(), -1) {
		if !slices.Contains(addrs, m[1]) {
			addrs = append(addrs, m[1])
		}
	}
	return r, addrs
}

// written waits for n events.
func (r *rig) written(n int) (all []line) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Count(r.out.String(), "\n") >= n {
			return r.parse()
		}
	}
	r.t.Fatalf("want %d events, got %q; log %s", n, r.out.String(), r.logs.String())
	return nil
}

func TestSyslogIn(t *testing.T) {
	t.Parallel()
	r, addrs := syslogRig(t, `{"listen":"127.0.0.1:0"}`, `{"listen":"127.0.0.1:0","protocols":["tcp"]}`)
	if len(addrs) != 2 {
		t.Fatalf("listens on %q", addrs)
	}
	for i, network := range []string{"udp", "tcp"} {
		conn, err := net.Dial(network, addrs[i])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		message := "<13>Nov 23 09:42:24 fw01 kernel: " + network
		if network == "tcp" {
			message += "\n11 <14>counted\n"
		}
		if _, err := conn.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		all := r.written(1 + 2*i)
		e := all[i]
		if from, err := netip.ParseAddrPort(e.Source); err != nil || from.String() != conn.LocalAddr().String() {
			t.Errorf("source %q, want %s", e.Source, conn.LocalAddr())
		}
		if e.Queue != "2" || e.Location != "127.0.0.1" || e.FullLog != "Nov 23 09:42:24 fw01 kernel: "+network || e.Agent.ID != "" || strings.Contains(r.out.String(), `"agent"`) {
			t.Errorf("%+v", e)
		}
	}
	if all := r.parse(); all[2].FullLog != "counted" {
		t.Errorf("%+v", all[2])
	}
	r.end()
}

func TestSyslogOfOthers(t *testing.T) {
	t.Parallel()
	r, addrs := syslogRig(t, `{"listen":"127.0.0.1:0","allow":["127.0.0.0/8"],"deny":["127.0.0.2"]}`)
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addrs[0]))
	for _, from := range []string{"127.0.0.2", "127.0.0.1"} {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
		if err != nil {
			t.Skipf("this system has no %s: %v", from, err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("<1>from " + from)); err != nil {
			t.Fatal(err)
		}
		if from == "127.0.0.2" { // sockets share the load by the sender: wait until it was judged
			for end := time.Now().Add(20 * time.Second); !strings.Contains(r.logs.String(), "not allowed") && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	if all := r.written(1); len(all) != 1 || all[0].FullLog != "from 127.0.0.1" {
		t.Errorf("%+v", all)
	}
	r.end()
}

// TestOldNames has what was renamed taken with a warning.
func TestOldNames(t *testing.T) {
	t.Parallel()
	c := Config{
		Keys: "k", State: "s", Listen: []string{"127.0.0.1:0"}, Syslog: settingtest.Tables(t, "syslog", `{"listen":"127.0.0.1:514","network":"tcp"}`, `{"listen":"127.0.0.1:514","protocols":["udp","tcp"]}`),
		Sinks: settingtest.Tables(t, "sink", `{"type":"file","path":"x","daily":true,"keep_days":90,"max_size":10,"queue_size":"9 MB","queue_disk":"2 MB"}`),
	}
	for range 2 { // as the command does, and Run
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.syslog) != 3 {
		t.Errorf("%d inputs, want those of tcp and of udp and tcp", len(c.syslog))
	}
	want := []string{"sink[1]: queue_size has no effect any more: ", "sink[1]: queue_disk is called queue now; ", "sink[1]: keep_days is called max_age now; ",
		"syslog[1]: network is called protocols now; "}
	if !slices.EqualFunc(c.warnings, want, strings.HasPrefix) {
		t.Errorf("got %q, want %q", c.warnings, want)
	}
	if got := c.plans[0].Queue; got != 2<<20 {
		t.Errorf("a queue of %d bytes, want 2 MB", got)
	}
}
