package proto

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	kflate "github.com/klauspost/compress/flate"
)

// libraries are readers of the standard library, which are costly to make.
var libraries = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// reference inflates with the standard library; used is how much of in it took.
func reference(in []byte, limit int) (out []byte, used int, err error) {
	r := bytes.NewReader(in)
	library := libraries.Get().(io.ReadCloser)
	defer libraries.Put(library)
	if err := library.(flate.Resetter).Reset(r, nil); err != nil {
		return nil, 0, err
	}
	out, err = io.ReadAll(io.LimitReader(library, int64(limit)+1))
	return out, len(in) - r.Len(), err
}

// checkInflate holds the inflater against the standard library, with room for limit bytes.
func checkInflate(t *testing.T, f *inflater, in []byte, limit int) {
	t.Helper()
	want, wantUsed, wantErr := reference(in, limit)
	out := make([]byte, limit)
	n, used, err := f.inflate(out, in)
	switch {
	case wantErr == nil && len(want) > limit:
		if err == nil { // ErrTooLarge, or ErrChecksum where the library did not read so far as to see it
			t.Fatalf("%x: taken, and the library gives more than %d bytes", in, limit)
		}
	case wantErr != nil:
		if err == nil {
			t.Fatalf("%x: taken, and the library says %v", in, wantErr)
		}
	case err != nil:
		t.Fatalf("%x: %v, and the library takes it", in, err)
	case !bytes.Equal(out[:n], want):
		t.Fatalf("%x: %q, want %q", in, out[:n], want)
	case used != wantUsed:
		t.Fatalf("%x: used %d bytes, want %d", in, used, wantUsed)
	}
}

func deflateRaw(t testing.TB, body []byte, level int, fast bool) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	if fast {
		w, err = kflate.NewWriter(&b, level)
	} else {
		w, err = flate.NewWriter(&b, level)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Write(body)
	w.Close()
	return b.Bytes()
}

// texts are bodies of many shapes: short, long, of few and of all symbols, of long runs.
func texts() [][]byte {
	r := rand.New(rand.NewPCG(3, 4))
	list := [][]byte{nil, []byte("a"), []byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), event200, bytes.Repeat(event200, 20),
		[]byte(strings.Repeat("x", 70_000))}
	for _, n := range []int{3, 50, 257, 600, 5000, 40_000} {
		noise, few, skewed := make([]byte, n), make([]byte, n), make([]byte, n)
		for i := range n {
			noise[i] = byte(r.Uint32())
			few[i] = "abcd\n"[r.IntN(5)]
			skewed[i] = byte(r.ExpFloat64() * 9) // long codes
		}
		list = append(list, noise, few, skewed)
	}
	return list
}

func TestInflateLikeTheLibrary(t *testing.T) {
	t.Parallel()
	var f inflater
	for _, text := range texts() {
		for _, level := range []int{0, 1, 6, 9, flate.HuffmanOnly} {
			for _, fast := range []bool{false, true} {
				in := deflateRaw(t, text, level, fast)
				checkInflate(t, &f, in, len(text))
				checkInflate(t, &f, in, len(text)+500)
				checkInflate(t, &f, append(in[:len(in):len(in)], "behind it"...), len(text)+500)
				if len(text) > 0 {
					checkInflate(t, &f, in, len(text)-1)
				}
			}
		}
	}
}

func TestInflateDamaged(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	var f inflater
	for _, text := range texts() {
		if len(text) > 1000 {
			continue
		}
		for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
			whole := deflateRaw(t, text, level, false)
			for i := range whole {
				checkInflate(t, &f, whole[:i], 2000)
			}
			for range 2 * len(whole) {
				in := bytes.Clone(whole)
				in[r.IntN(len(in))] ^= 1 << r.IntN(8)
				checkInflate(t, &f, in, 2000)
			}
		}
	}
}

// FuzzInflate holds the inflater against compress/flate on any input.
func FuzzInflate(f *testing.F) {
	for _, text := range texts() {
		if len(text) <= 600 {
			for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
				f.Add(deflateRaw(f, text, level, false))
			}
		}
	}
	for _, v := range loadVectors(f) {
		fr, err := ParseFrame(v.bytes(f))
		if err != nil || fr.Method != Blowfish {
			continue
		}
		plain := make([]byte, len(fr.Body))
		v.cipher().decryptBlowfish(plain, fr.Body)
		f.Add(bytes.TrimLeft(plain, "!")[2:])
	}
	var inf inflater
	f.Fuzz(func(t *testing.T, in []byte) {
		checkInflate(t, &inf, in, maxBodyOSSEC)
		checkInflate(t, &inf, in, 100)
	})
}

func BenchmarkInflate(b *testing.B) {
	in := deflateRaw(b, append([]byte("d41d8cd98f00b204e9800998ecf8427e1234500017623021:0042:"), event200...), 9, false)
	out := make([]byte, maxBodyOSSEC)
	b.Run("ours", func(b *testing.B) {
		var f inflater
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := f.inflate(out, in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		src := bytes.NewReader(in)
		r := flate.NewReader(src)
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(in)
			r.(flate.Resetter).Reset(src, nil)
			if _, err := io.ReadFull(r, out[:53+len(event200)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
