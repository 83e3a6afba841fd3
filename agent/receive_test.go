package agent

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

// Nothing but an authentic, fresh ack of the manager lets an agent in.
func TestNoiseChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		m.answerWith(silent)
		r := newRig(t, n, anyKey)
		r.start()
		whole := m.seal(proto.Ack)
		for i := range whole {
			m.sendRaw(whole[:i])
			d := bytes.Clone(whole)
			d[i] ^= 0x21
			m.sendRaw(d)
			synctest.Wait()
		}
		m.sendRaw(bytes.Repeat([]byte{0xff}, 65_507))
		m.sendRaw(append([]byte(":"), make([]byte, 65_504)...))
		m.sendRaw(append([]byte("!003!"), m.seal(proto.Ack)...))
		synctest.Wait()
		other := newFakeManager(t, n, stranger, fixedKey, proto.Blowfish, proto.OSSEC)
		m.sendRaw(other.seal(proto.Ack)) // another key
		synctest.Wait()
		aes := newFakeManager(t, n, stranger2, anyKey, proto.AES, proto.OSSEC)
		m.sendRaw(aes.seal(proto.Ack)) // another cipher
		other.last = m.last
		other.sendRaw(m.seal(proto.Ack)) // another source
		synctest.Wait()
		if r.log.Count("connected") != 0 {
			t.Errorf("noise let the agent in:\n%v", r.log)
		}
		for _, reason := range []string{"malformed", "wrong key", "other cipher"} {
			if got := r.log.Count("level=WARN", "msg=refused", reason, "remedy"); got != 1 {
				t.Errorf("%q was logged %d times, want once a minute:\n%v", reason, got, r.log)
			}
		}
		m.sendRaw(whole) // no count was used up by the forgeries
		synctest.Wait()
		if r.log.Count("connected") != 1 {
			t.Errorf("the true ack was not taken:\n%v", r.log)
		}
		r.mustStop()
		for _, x := range []*fakeManager{m, other, aes} {
			x.close()
		}
	})
}

func TestOtherDialectIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.AES, proto.Wazuh)
		r := newRig(t, n, anyKey)
		r.cfg.Method = proto.AES
		r.start()
		if r.log.Count("connected") != 0 || r.log.Count("other dialect", "--dialect") != 1 {
			t.Errorf("log:\n%v", r.log)
		}
		r.mustStop()
		m.close()
	})
}

func TestManagerThatLostItsCounter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		r.mustStop()
		m.setCount(proto.Counter{Global: 3})
		r.start()
		time.Sleep(9 * time.Second)
		if got := r.log.Count("level=ERROR"); got != 0 {
			t.Errorf("two old counts were taken for a lost counter:\n%v", r.log)
		}
		time.Sleep(40 * time.Second)
		if got := r.log.Count("level=ERROR", "lost its counter", "remedy"); got != 1 {
			t.Errorf("the lost counter was logged %d times:\n%v", got, r.log)
		}
		r.mustStop()
		m.close()
	})
}

// push sends a file as managers do.
func (m *fakeManager) push(name string, data []byte) { m.pushChunks(name, data, nil) }

// pushChunks pushes a file whose sealed chunks are changed on the way.
func (m *fakeManager) pushChunks(name string, data []byte, change func(chunks [][]byte) [][]byte) {
	sum := md5.Sum(data)
	m.send(string(proto.AppendUpFile(nil, hex.EncodeToString(sum[:]), name)))
	var chunks [][]byte
	for rest := data; len(rest) > 0; {
		n := min(len(rest), proto.ChunkSize)
		chunks = append(chunks, m.seal(string(rest[:n])))
		rest = rest[n:]
	}
	if change != nil {
		chunks = change(chunks)
	}
	for i, c := range chunks {
		if m.sendRaw(c); i%32 == 31 {
			synctest.Wait()
		}
	}
	m.send(proto.CloseFile)
	synctest.Wait()
}

// merged joins files as managers do; names and contents alternate.
func merged(files ...string) []byte {
	b := []byte("#default\n")
	for i := 0; i < len(files); i += 2 {
		b = fmt.Appendf(b, "!%d %s\n%s", len(files[i+1]), files[i], files[i+1])
	}
	return b
}

// tree is all files below dir, as "NAME:CONTENT" with the content cut.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all = append(all, rel+":"+string(data[:min(len(data), 20)]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestFilePush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		time.Sleep(time.Second) // past the keepalive
		dir := filepath.Join(r.cfg.State, "shared")
		reported := func() (string, string) {
			m.take()
			time.Sleep(10 * time.Second)
			k, err := proto.ParseKeepalive([]byte(strings.TrimPrefix(m.take()[0].text, "#!-")))
			if err != nil {
				t.Fatal(err)
			}
			sum, _ := k.Merged()
			return sum, k.ConfigSum
		}
		sumOf := func(data []byte) string { s := md5.Sum(data); return hex.EncodeToString(s[:]) }

		first := merged("agent.conf", "<agent_config/>", "rootkit.txt", strings.Repeat("long ", 5000), "../evil.txt", "x", "/etc/evil", "x", ".hidden", "x", "merged.mg", "x")
		m.push("merged.mg", first)
		if got, want := tree(t, dir), "agent.conf:<agent_config/>\nmerged.mg:#default\n!15 agent.c\nrootkit.txt:long long long long "; got != want {
			t.Errorf("stored %q, want %q", got, want)
		}
		if sum, conf := reported(); sum != sumOf(first) || conf != sumOf([]byte("<agent_config/>")) {
			t.Errorf("reported %s and %s", sum, conf)
		}
		if r.log.Count("unsafe names", "count=4") != 1 {
			t.Errorf("log:\n%v", r.log)
		}

		// A chunk is lost, doubled, out of order: the file before stays, and is reported.
		second := merged("agent.conf", strings.Repeat("0123456789", 300))
		for name, change := range map[string]func([][]byte) [][]byte{
			"lost":       func(c [][]byte) [][]byte { return c[1:] },
			"reordered":  func(c [][]byte) [][]byte { c[1], c[2] = c[2], c[1]; return c },
			"last first": func(c [][]byte) [][]byte { return append(c[len(c)-1:], c[:len(c)-1]...) },
		} {
			m.pushChunks("merged.mg", second, change)
			if sum, _ := reported(); sum != sumOf(first) {
				t.Errorf("%s: reported %s", name, sum)
			}
			time.Sleep(time.Minute)
		}
		if got := r.log.Count("discarded", "remedy"); got != 3 {
			t.Errorf("%d discarded pushes were logged:\n%v", got, r.log)
		}

		// Repeats on the way do no harm; what is no part of the push may even overtake it.
		m.pushChunks("merged.mg", second, func(c [][]byte) [][]byte {
			var twice [][]byte
			for _, x := range c {
				twice = append(twice, x, x, m.seal(proto.Ack))
			}
			return twice
		})
		if sum, _ := reported(); sum != sumOf(second) {
			t.Errorf("reported %s, want %s", sum, sumOf(second))
		}
		if got := tree(t, dir); strings.Contains(got, "rootkit") {
			t.Errorf("what is no longer shared is still there: %q", got)
		}

		m.push("ar.conf", []byte("one file")) // as stock managers do at times
		m.push("../ar2.conf", []byte("one file"))
		m.push("positions.json", []byte("harmless here"))
		if got := tree(t, dir); !strings.Contains(got, "ar.conf:one file") {
			t.Errorf("stored %q", got)
		}
		if got := tree(t, filepath.Dir(r.cfg.State)); strings.Contains(got, "evil") || strings.Contains(got, "ar2") || strings.Contains(got, "state/positions.json") {
			t.Errorf("stored %q", got)
		}

		r.mustStop()

		r.start() // the sums are those of the files on disk
		time.Sleep(time.Second)
		if sum, _ := reported(); sum != sumOf(second) {
			t.Errorf("after a restart: reported %s, want %s", sum, sumOf(second))
		}
		r.mustStop()
		m.close()
	})
}
