package agent

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 the protocol prescribes this cipher
	"golang.org/x/sys/unix"

	"ossecd/keys"
	"ossecd/proto"
)

// partNames are the parts in the order in which a line goes through them.
var partNames = []string{"read", "split", "spool", "deflate", "checksums", "encrypt", "send"}

// timeParts prints what a line costs in each of the parts, in ns of CPU. Each is the plain call of a library, or of the system, over
// the same lines.
func timeParts(t *testing.T, cfg *Config, kind string) {
	const (
		n      = performanceLines / 4
		varied = 1024 // bodies, so that they stay in the processor's cache, as the agent's do
	)
	runtime.LockOSThread()
	file := cfg.Files[0]
	if err := os.WriteFile(file, performanceText(kind, n), 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	measure := func(name string, do func()) {
		before := threadTime(t)
		do()
		fmt.Println(name, (threadTime(t)-before)/n)
	}

	// The file is read in pieces of 64 KB.
	f, err := os.Open(file)
	must(err)
	defer f.Close()
	piece := make([]byte, 64<<10)
	measure("read", func() {
		for {
			if _, err := f.Read(piece); err == io.EOF {
				break
			} else {
				must(err)
			}
		}
	})
	text, err := os.ReadFile(file)
	must(err)
	var lines [][]byte
	measure("split", func() {
		lines = make([][]byte, 0, n)
		for rest := text; ; {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			lines = append(lines, rest[:i])
			rest = rest[i+1:]
		}
	})

	// The spool is written, checked and read again in pieces of 64 KB.
	queue, err := os.Create(file + ".spool")
	must(err)
	defer queue.Close()
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	measure("spool", func() {
		var sum uint32
		for at := 0; at < len(text); at += len(piece) {
			some := text[at:min(len(text), at+len(piece))]
			_, err := queue.WriteAt(some, int64(at))
			must(err)
		}
		for _, line := range lines {
			sum += crc32.Checksum(line, castagnoli)
		}
		for at := 0; at < len(text); at += len(piece) {
			if _, err := queue.ReadAt(piece, int64(at)); err != io.EOF {
				must(err)
			}
		}
		for _, line := range lines {
			sum -= crc32.Checksum(line, castagnoli)
		}
		if sum != 0 {
			t.Error("sums differ")
		}
	})

	// What is deflated is what an agent deflates: a repetition more in it is another way through the library.
	bodies := make([][]byte, varied)
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, "%032d%05d%010d:%04d:", 0, i*40503%65536, time.Now().Unix(), 1000+i)
		bodies[i] = proto.AppendEvent(bodies[i], '1', file, lines[i], proto.OSSEC)
	}
	measure("checksums", func() {
		for i := range n {
			body := bodies[i%varied]
			sum := md5.Sum(body[32:])
			hex.Encode(body, sum[:])
			adler32.Checksum(body)
		}
	})
	streams := make([][]byte, len(bodies))
	var out bytes.Buffer
	deflate, err := flate.NewWriter(&out, 1) // as the channel does
	must(err)
	deflated := func(body []byte) {
		out.Reset()
		deflate.Reset(&out)
		_, err := deflate.Write(body)
		must(err)
		must(deflate.Close())
	}
	measure("deflate", func() {
		for i := range n {
			deflated(bodies[i%varied])
		}
	})
	for i, body := range bodies {
		deflated(body)
		pad := 16 - (out.Len()+6)%16 // with zlib's header and checksum
		streams[i] = append(bytes.Clone(out.Bytes()), make([]byte, 6+pad)...)
	}

	key, err := keys.ParseLine(anyKey)
	must(err)
	secret := key.CipherKey()
	var block cipher.Block
	if cfg.Method == proto.AES {
		block, err = aes.NewCipher(secret[:32])
	} else {
		block, err = blowfish.NewCipher(secret[:])
	}
	must(err)
	iv := make([]byte, block.BlockSize())
	measure("encrypt", func() {
		for i := range n {
			s := streams[i%varied]
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(s, s)
		}
	})

	to, err := netip.ParseAddrPort(cfg.Managers[0])
	must(err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	defer unix.Close(fd)
	must(unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}))
	measure("send", func() {
		for i := range n {
			_, err := unix.Write(fd, streams[i%varied])
			must(err)
		}
	})
	fmt.Println("end 0")
	io.Copy(io.Discard, os.Stdin)
}

// threadTime is the CPU that this thread used, in ns.
func threadTime(t *testing.T) int64 {
	t.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		t.Fatal(err)
	}
	return at.Nano()
}

// parts reads what timeParts prints, in µs.
func (c *performanceChild) parts() map[string]float64 {
	c.t.Helper()
	parts := map[string]float64{}
	for {
		var name string
		var ns float64
		if _, err := fmt.Fscanln(c.out, &name, &ns); err != nil {
			c.t.Fatal(err)
		}
		if name == "end" {
			return parts
		}
		parts[name] = ns / 1000
	}
}
