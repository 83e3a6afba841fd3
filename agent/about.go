package agent

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"ossecd/agent/shared"
	"ossecd/proto"
)

// about makes the keepalive: what the agent says of its host and itself. The text is kept from one to the next,
// since while many events flow many keepalives are sent.
type about struct {
	cfg   *Config
	sums  shared.Sums // in text
	takes bool        // a new key, if the manager has one for us
	word  string      // that the manager asked for, to know that this address hears it
	nonce string      // of the talk
	text  []byte      // empty where it is to be made anew
}

// forget makes the next text a new one.
func (a *about) forget() { a.text = a.text[:0] }

// keepalive is the message; it may be used until the next call.
func (a *about) keepalive(conn net.Conn, sums shared.Sums) []byte {
	if len(a.text) > 0 && a.sums == sums {
		return a.text
	}
	a.text, a.sums = a.text[:0], sums
	k := proto.Keepalive{
		Uname: a.host(), Program: "ossecd " + a.cfg.Version, ConfigSum: a.sums.Config,
		Files:      []proto.FileSum{{Sum: a.sums.Merged, Name: proto.MergedName}},
		NotifyTime: a.cfg.NotifyTime, TakesKey: a.takes, SaysWord: true, Word: a.word, Nonce: a.nonce,
	}
	if a.cfg.Dialect == proto.Wazuh {
		if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
			k.Address = local.Addr().Unmap().WithZone("").String()
		}
	}
	a.text = proto.AppendKeepalive(a.text, &k)
	return a.text
}

// host is the uname of a keepalive: in OSSEC's form with blanks, in Wazuh's with " |" between the fields and the
// system's name behind.
func (a *about) host() string {
	fields := uname()
	if a.cfg.Dialect != proto.Wazuh {
		return strings.Join(fields[:], " ")
	}
	return strings.Join(fields[:], " |") + osName()
}

// osName is " [NAME|platform: VERSION (codename)]" as far as /etc/os-release tells, or nothing.
func osName() string {
	f, err := os.Open("/etc/os-release")
	if err != nil || runtime.GOOS == "windows" {
		return ""
	}
	defer f.Close()
	is := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan() && len(is) < 64; {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			is[key] = strings.Trim(value, `"'`)
		}
	}
	if is["NAME"] == "" || is["ID"] == "" {
		return ""
	}
	name := is["NAME"] + "|" + is["ID"] + ": " + is["VERSION_ID"]
	if is["VERSION_CODENAME"] != "" {
		name += " (" + is["VERSION_CODENAME"] + ")"
	}
	return " [" + name[:min(len(name), 128)] + "]"
}
