package proto

import (
	"bytes"
	"hash/adler32"
	"math/rand/v2"
	"testing"
)

func TestAdler32(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{0xff}, 200_000)
	for i := range 3000 {
		n := i
		if i >= 2000 {
			n = rand.N(len(long))
		}
		b := long[:n]
		if i%2 == 0 {
			b = make([]byte, n)
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
		}
		if got, want := adler32sum(b), adler32.Checksum(b); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

func BenchmarkAdler32(b *testing.B) {
	text := bytes.Repeat([]byte("0123456789"), 500)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			adler32sum(text)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			adler32.Checksum(text)
		}
	})
}
