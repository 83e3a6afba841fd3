package manager

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"ossecd/keys"
	"ossecd/proto"
)

// agentInfo writes the stock agent information files, NAME-IP: the first line of the last keepalive and the cipher. Their
// times are the liveness that stock programs go by (docs/protocol.md, "Control messages").
type agentInfo struct {
	dir  *os.Root
	fail func(error)

	mu      sync.Mutex
	waiting map[string]string // content by name
	wake    chan struct{}
	written map[string]string // for the goroutine of run
}

func openAgentInfo(path string, fail func(error)) (*agentInfo, error) {
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &agentInfo{dir: dir, fail: fail, waiting: make(map[string]string), wake: make(chan struct{}, 1), written: make(map[string]string)}, nil
}

// note takes what a keepalive of a says, whose mu is held. It does not wait for the disk.
func (i *agentInfo) note(a *agent, keepalive []byte) {
	line, _, _ := strings.Cut(string(keepalive[:min(len(keepalive), maxInfo)]), "\n")
	method := "blowfish"
	if a.method == proto.AES {
		method = "aes"
	}
	i.mu.Lock()
	i.waiting[infoName(a.key)] = strings.Map(printable, strings.ToValidUTF8(line, "")) + "\ncrypto_method:" + method + "\n"
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// infoName is the name of an agent's file.
func infoName(k keys.Key) string {
	ip, _, _ := strings.Cut(k.Address.String(), "/")
	return k.Name + "-" + ip
}

// heardByStock takes over when a stock manager heard an agent that we last heard before: it sets the time of the agent's file at each
// keepalive. Keepalives of stock agents are ten minutes apart, so one that spoke within a stock manager's waiting time was there all the
// time. Without that it would be reported as back from an outage.
func (c *Config) heardByStock(k keys.Key, slot *keys.Slot, now time.Time) {
	name := infoName(k)
	if c.OssecHome == "" || !filepath.IsLocal(name) {
		return
	}
	info, err := os.Lstat(filepath.Join(c.inStock(stockAgentInfo), name))
	if err != nil || !info.Mode().IsRegular() || !info.ModTime().After(slot.LastSeen()) || info.ModTime().After(now) {
		return
	}
	slot.SetLastSeen(info.ModTime())
	slot.SetConnected(now.Sub(info.ModTime()) < missedKeepalives*stockNotifyTime+keepaliveGrace)
}

const maxInfo = 1024 // bytes of a keepalive that a stock manager looks at

// printable has control characters left out, those from U+0080 to U+009F too, which some terminals obey.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// run writes what is noted until ctx ends.
func (i *agentInfo) run(ctx context.Context) {
	defer i.dir.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wake:
		}
		i.mu.Lock()
		now := i.waiting
		i.waiting = make(map[string]string)
		i.mu.Unlock()
		for name, content := range now {
			if err := i.write(name, content); err != nil {
				i.fail(err)
			}
		}
	}
}

// write brings a file up to date. One that has the content already gets the present time alone.
func (i *agentInfo) write(name, content string) error {
	if i.written[name] == content {
		if now := time.Now(); i.dir.Chtimes(name, now, now) == nil {
			return nil
		}
	}
	f, err := i.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		i.written[name] = content
	}
	return err
}
