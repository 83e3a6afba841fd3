package proto

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"strings"
	"testing"
)

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

// BenchmarkParts are the parts of Open that no receiver can do without, each alone, over datagrams which all
// differ: on one and the same, the processor's branch prediction makes inflating a third faster than it is.
// The manager's BenchmarkPerformance adds them up.
func BenchmarkParts(b *testing.B) {
	const varied = 256
	for _, e := range []Envelope{forms[1], forms[4], forms[5]} {
		for _, size := range []int{200, 600, 5000} {
			key := NewCipher(testKey())
			s, o := mustSealer(b, 9), NewOpener()
			var frames, plain, streams, bodies [varied][]byte
			for i := range varied {
				e.Counter = e.Counter.Next()
				d, err := s.Seal(nil, key, &e, []byte("1:/var/log/auth.log:"+logLine(i, size)))
				if err != nil {
					b.Fatal(err)
				}
				f, err := ParseFrame(d)
				if err != nil {
					b.Fatal(err)
				}
				m, err := o.Open(key, f, e.Dialect)
				if err != nil {
					b.Fatal(err)
				}
				frames[i], plain[i] = f.Body, make([]byte, len(f.Body))
				text := o.plain[:len(f.Body)]
				if e.Method == AES {
					text = aesForm(text, e.Dialect)
				}
				streams[i] = bytes.Clone(bytes.TrimLeft(text, "!"))
				bodies[i] = bytes.Clone(o.body[32 : bodyOverhead+len(m.Payload)])
			}
			measure := func(part string, do func(i int)) {
				b.Run(fmt.Sprintf("%s/%v-%v/%d", part, e.Method, e.Dialect, size), func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						do(i % varied)
						i++
					}
				})
			}
			measure("decrypt", func(i int) {
				if e.Method == AES {
					key.decryptAES(plain[i], frames[i], wazuhIV)
				} else {
					key.decryptBlowfish(plain[i], frames[i])
				}
			})
			measure("inflate", func(i int) {
				if _, err := o.inflate(streams[i], maxBody(e.Dialect)); err != nil {
					b.Fatal(err)
				}
			})
			measure("md5", func(i int) { md5.Sum(bodies[i]) })
		}
	}
}
