package proto

import (
	"encoding/binary"
	"reflect"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 the protocol prescribes this cipher
)

// schedule is an expanded Blowfish key. A round of Blowfish waits for its four look-ups, and
// golang.org/x/crypto/blowfish takes one block at a time; in CBC blocks can be decrypted in any order, so here
// four go through the rounds side by side. For a log line that is 2.2 times as fast. Encryption is chained, and
// gains nothing; it is here so that an agent has one schedule, not two.
type schedule struct {
	p              [18]uint32
	s0, s1, s2, s3 [256]uint32
}

// newSchedule copies the schedule that the library made. It has no other way to it than reflection, which reads its
// fields in their order: a version of the library with others fails here, at the first message and in the tests.
func newSchedule(b *blowfish.Cipher) *schedule {
	k := new(schedule)
	fields := reflect.ValueOf(b).Elem()
	for n, words := range [][]uint32{k.p[:], k.s0[:], k.s1[:], k.s2[:], k.s3[:]} {
		field := fields.Field(n)
		for i := range words {
			words[i] = uint32(field.Index(i).Uint())
		}
	}
	return k
}

// decryptCBC decrypts src, whole blocks, into dst of the same length, which must not overlap it.
func (k *schedule) decryptCBC(dst, src []byte, iv uint64) {
	if len(src) < 32 {
		var in, out [32]byte
		copy(in[:], src)
		k.decryptFour(&out, &in, iv)
		copy(dst, out[:len(src)])
		return
	}
	k.decryptFour((*[32]byte)(dst), (*[32]byte)(src), iv)
	for from := 32; from < len(src); from += 32 {
		at := min(from, len(src)-32) // the last four blocks may be in part the ones before, again
		k.decryptFour((*[32]byte)(dst[at:]), (*[32]byte)(src[at:]), binary.BigEndian.Uint64(src[at-8:]))
	}
}

// decryptFour decrypts four blocks, of which the first is chained to prev.
func (k *schedule) decryptFour(dst, src *[32]byte, prev uint64) {
	al, ar := halves(src[0:])
	bl, br := halves(src[8:])
	cl, cr := halves(src[16:])
	dl, dr := halves(src[24:])
	for i := 17; i > 1; i -= 2 { // two rounds, after which the halves are in their places again
		p, q := k.p[i], k.p[i-1]
		al ^= p
		bl ^= p
		cl ^= p
		dl ^= p
		ar ^= k.f(al) ^ q
		br ^= k.f(bl) ^ q
		cr ^= k.f(cl) ^ q
		dr ^= k.f(dl) ^ q
		al ^= k.f(ar)
		bl ^= k.f(br)
		cl ^= k.f(cr)
		dl ^= k.f(dr)
	}
	last := uint64(k.p[0])<<32 | uint64(k.p[1])
	binary.BigEndian.PutUint64(dst[0:], swapped(al, ar)^last^prev)
	binary.BigEndian.PutUint64(dst[8:], swapped(bl, br)^last^binary.BigEndian.Uint64(src[0:]))
	binary.BigEndian.PutUint64(dst[16:], swapped(cl, cr)^last^binary.BigEndian.Uint64(src[8:]))
	binary.BigEndian.PutUint64(dst[24:], swapped(dl, dr)^last^binary.BigEndian.Uint64(src[16:]))
}

// touch brings the tables into the cache, which the rounds would do with waiting: where agents take turns that is half of
// the decryption.
func (k *schedule) touch() {
	var all uint32
	for i := 0; i < 256; i += 16 { // 64 bytes
		all |= k.s0[i] | k.s1[i] | k.s2[i] | k.s3[i]
	}
	if all == 0 {
		panic("proto: an empty Blowfish schedule") // no key gives one; without a use the compiler would leave the reads out
	}
}

// encryptCBC encrypts p, whole blocks, in place.
func (k *schedule) encryptCBC(p []byte, iv uint64) {
	for prev := iv; len(p) >= 8; p = p[8:] {
		prev = k.encryptOne(binary.BigEndian.Uint64(p) ^ prev)
		binary.BigEndian.PutUint64(p, prev)
	}
}

func (k *schedule) encryptOne(block uint64) uint64 {
	l, r := uint32(block>>32)^k.p[0], uint32(block)
	for i := 1; i < 17; i += 2 {
		r ^= k.f(l) ^ k.p[i]
		l ^= k.f(r) ^ k.p[i+1]
	}
	return swapped(l, r^k.p[17])
}

// f is the round function.
func (k *schedule) f(x uint32) uint32 {
	return ((k.s0[byte(x>>24)] + k.s1[byte(x>>16)]) ^ k.s2[byte(x>>8)]) + k.s3[byte(x)]
}

func halves(block []byte) (l, r uint32) {
	return binary.BigEndian.Uint32(block), binary.BigEndian.Uint32(block[4:])
}

func swapped(l, r uint32) uint64 { return uint64(r)<<32 | uint64(l) }
