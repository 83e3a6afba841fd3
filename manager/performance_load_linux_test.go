package manager

import (
	"bytes"
	"fmt"
	"ossecd/proto"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A load is datagrams of some agents in turn: a first one of each, and bursts.
type load struct {
	keys   []byte // of client.keys
	hello  [][]byte
	bursts [][][]byte

	program string // that takes it; empty is the one that runs the test
}

func newLoad(t *testing.T, f form, size, agents, bursts int) *load {
	t.Helper()
	l := &load{hello: make([][]byte, agents), bursts: make([][][]byte, bursts)}
	for i := range l.bursts {
		l.bursts[i] = make([][]byte, performanceBurst)
	}
	var all sync.WaitGroup
	step := runtime.NumCPU()
	for from := range step {
		all.Go(func() {
			s, err := proto.NewSealer(9) // as the stock agents
			if err != nil {
				t.Error(err)
				return
			}
			for n := from; n < agents; n += step {
				k := mustKey(t, benchKey(n+1))
				c := proto.NewCipher(k.CipherKey())
				e := proto.Envelope{ID: k.ID, Method: f.method, Dialect: f.dialect}
				seal := func(i int) []byte {
					e.Counter = e.Counter.Next()
					d, err := s.Seal(nil, c, &e, []byte("1:/var/log/auth.log:"+logLine(i, size)))
					if err != nil {
						t.Error(err)
					}
					return d
				}
				l.hello[n] = seal(n)
				stride := max(agents/performanceBurst, 1)
				for b := range l.bursts {
					for i := range l.bursts[b] {
						if i*stride%agents == n {
							l.bursts[b][i] = seal(b*performanceBurst + i)
						}
					}
				}
			}
		})
	}
	all.Wait()
	var lines bytes.Buffer
	for n := range agents {
		lines.WriteString(benchKey(n+1) + "\n")
	}
	l.keys = lines.Bytes()
	return l
}

// logLine is a log line of some size, another one for each n.
func logLine(n, size int) string {
	const end = "; the next attempt of that address will be the 17th within ten minutes"
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "Nov 22 15:%02d:%02d web01 sshd[%d]: Failed password for invalid user admin%d from 203.0.113.%d port %d ssh2"+end+" ",
			n/60%60, n%60, 1000+n*7919%9000, n%97, n*31%256, 1024+n*104729%60000)
		n += 10_007
	}
	return b.String()[:size]
}

// benchKey is the keys line of the agent with the number n, from 1 on.
func benchKey(n int) string { return fmt.Sprintf("%06d agent%06d any %064x", n, n, n) }
