package proto

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 the protocol prescribes this cipher
)

// blowfishPair is our schedule of a key of 1 to 56 bytes beside the library's.
type blowfishPair struct {
	key     []byte
	library *blowfish.Cipher
	ours    *schedule
}

func newBlowfishPair(t testing.TB, key []byte) blowfishPair {
	t.Helper()
	b, err := blowfish.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return blowfishPair{key, b, newSchedule(b)}
}

// check holds both ways against the libraries' own, for whole blocks.
func (p blowfishPair) check(t *testing.T, src []byte, iv uint64) {
	t.Helper()
	want, got := make([]byte, len(src)), make([]byte, len(src)+1)
	cipher.NewCBCDecrypter(p.library, binary.BigEndian.AppendUint64(nil, iv)).CryptBlocks(want, src)
	before := bytes.Clone(src)
	got[len(src)] = 0xa5
	p.ours.decryptCBC(got[:len(src)], src, iv)
	if !bytes.Equal(got[:len(src)], want) {
		t.Fatalf("key %x, iv %x: %x gives %x, want %x", p.key, iv, src, got[:len(src)], want)
	}
	if got[len(src)] != 0xa5 || !bytes.Equal(src, before) {
		t.Fatal("wrote where it should not")
	}
	cipher.NewCBCEncrypter(p.library, binary.BigEndian.AppendUint64(nil, iv)).CryptBlocks(want, src)
	copy(got, src)
	p.ours.encryptCBC(got[:len(src)], iv)
	if !bytes.Equal(got[:len(src)], want) || got[len(src)] != 0xa5 {
		t.Fatalf("key %x, iv %x: %x is encrypted to %x, want %x", p.key, iv, src, got[:len(src)], want)
	}
}

func TestBlowfishLikeTheLibrary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	random := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	for blocks := range 40 {
		newBlowfishPair(t, random(KeySize)).check(t, random(8*blocks), blowfishIV)
	}
	for size := 1; size <= 56; size++ {
		newBlowfishPair(t, random(size)).check(t, random(8*(1+r.IntN(20))), r.Uint64())
	}
	key := testKey()
	newBlowfishPair(t, key[:]).check(t, random(MaxDatagram/8*8), blowfishIV)
}

// A Cipher makes one schedule, whichever way it is used first.
func TestCipherSchedule(t *testing.T) {
	t.Parallel()
	text := []byte("0123456789abcdef0123456789abcdef01234567")
	for _, opensFirst := range []bool{false, true} {
		c, got := NewCipher(testKey()), make([]byte, len(text))
		if opensFirst {
			c.decryptBlowfish(got, text)
		}
		sealed := bytes.Clone(text)
		c.encryptBlowfish(sealed)
		first := c.blowfish.Load()
		if c.decryptBlowfish(got, sealed); !bytes.Equal(got, text) || c.blowfish.Load() != first {
			t.Errorf("opens first %v: %q, want %q, with one schedule", opensFirst, got, text)
		}
	}
}

// FuzzBlowfish takes any text, under keys of all sizes. They are few, since it is their schedules that take the time.
func FuzzBlowfish(f *testing.F) {
	var pairs []blowfishPair
	for _, v := range loadVectors(f) {
		if fr, err := ParseFrame(v.bytes(f)); err == nil && fr.Method == Blowfish {
			f.Add(uint8(len(pairs)), fr.Body, uint64(blowfishIV))
			pairs = append(pairs, newBlowfishPair(f, []byte(v.CipherKey)))
		}
	}
	r := rand.New(rand.NewPCG(9, 10))
	for size := 1; size <= 56; size++ {
		key := make([]byte, size)
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		pairs = append(pairs, newBlowfishPair(f, key))
	}
	f.Fuzz(func(t *testing.T, pair uint8, src []byte, iv uint64) {
		pairs[int(pair)%len(pairs)].check(t, src[:len(src)/8*8], iv)
	})
}

func BenchmarkDecrypt(b *testing.B) {
	key := testKey()
	library, err := blowfish.NewCipher(key[:])
	if err != nil {
		b.Fatal(err)
	}
	ours := newSchedule(library)
	src := make([]byte, 24*8) // like a log line
	dst := make([]byte, len(src))
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			ours.decryptCBC(dst, src, blowfishIV)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			prev := uint64(blowfishIV)
			for at := 0; at < len(src); at += 8 {
				library.Decrypt(dst[at:], src[at:])
				binary.BigEndian.PutUint64(dst[at:], binary.BigEndian.Uint64(dst[at:])^prev)
				prev = binary.BigEndian.Uint64(src[at:])
			}
		}
	})
}

func BenchmarkEncrypt(b *testing.B) {
	key := testKey()
	library, err := blowfish.NewCipher(key[:])
	if err != nil {
		b.Fatal(err)
	}
	ours := newSchedule(library)
	p := make([]byte, 24*8) // like a log line
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			ours.encryptCBC(p, blowfishIV)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			prev := uint64(blowfishIV)
			for at := 0; at < len(p); at += 8 {
				binary.BigEndian.PutUint64(p[at:], binary.BigEndian.Uint64(p[at:])^prev)
				library.Encrypt(p[at:], p[at:])
				prev = binary.BigEndian.Uint64(p[at:])
			}
		}
	})
}
