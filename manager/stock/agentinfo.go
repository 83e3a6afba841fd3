package stock

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/proto"
	"ossecd/proto/printable"
)

// AgentInfo writes the stock agent information files, NAME-IP: the first line of the last keepalive and the cipher. Their
// times are the liveness that stock programs go by (docs/protocol.md, "Control messages").
type AgentInfo struct {
	dir     *os.Root
	limited *limitlog.Logger

	mu      sync.Mutex
	waiting map[string]string // content by name
	wake    chan struct{}
	written map[string]string // for the goroutine of run
}

// OpenAgentInfo opens the directory of the files.
func OpenAgentInfo(l Layout, log *slog.Logger) (*AgentInfo, error) {
	dir, err := os.OpenRoot(l.AgentInfo())
	if err != nil {
		return nil, fmt.Errorf("agent information: %w; is %s the directory of a stock server?", err, string(l))
	}
	return &AgentInfo{dir: dir, limited: limitlog.New(log), waiting: make(map[string]string), wake: make(chan struct{}, 1), written: make(map[string]string)}, nil
}

// Close closes it where there will be no Run.
func (i *AgentInfo) Close() { i.dir.Close() }

// Note takes what the keepalive of an agent says, which came in that cipher. It does not wait for the disk.
func (i *AgentInfo) Note(k keys.Key, keepalive []byte, cipher proto.Method) {
	line, _, _ := strings.Cut(string(keepalive[:min(len(keepalive), maxInfo)]), "\n")
	method := "blowfish"
	if cipher == proto.AES {
		method = "aes"
	}
	i.mu.Lock()
	i.waiting[infoName(k)] = strings.Map(withoutSteering, strings.ToValidUTF8(line, "")) + "\ncrypto_method:" + method + "\n"
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

// LastHeard is when a stock manager last heard an agent, which sets the time of the agent's file at each keepalive; zero if never.
func (l Layout) LastHeard(k keys.Key) time.Time {
	name := infoName(k)
	if l == "" || !filepath.IsLocal(name) {
		return time.Time{}
	}
	info, err := os.Lstat(filepath.Join(l.AgentInfo(), name))
	if err != nil || !info.Mode().IsRegular() {
		return time.Time{}
	}
	return info.ModTime()
}

const maxInfo = 1024 // bytes of a keepalive that a stock manager looks at

// withoutSteering leaves out control characters, those from U+0080 to U+009F too, which some terminals obey, and what turns the direction of writing.
func withoutSteering(r rune) rune {
	if printable.Steers(r) {
		return -1
	}
	return r
}

// Run writes what is noted until ctx ends.
func (i *AgentInfo) Run(ctx context.Context) {
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
				i.limited.Error("agent information was not written", "err", err)
			}
		}
	}
}

// write brings a file up to date. One that has the content already gets the present time alone.
func (i *AgentInfo) write(name, content string) error {
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
