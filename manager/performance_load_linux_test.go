package manager

import (
	"bytes"
	"ossecd/proto"
	"runtime"
	"sync"
	"testing"
)

// A load is datagrams of some agents in turn: a first one of each, and bursts.
type load struct {
	keys   []byte // of client.keys
	hello  [][]byte
	bursts [][][]byte
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
