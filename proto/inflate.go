package proto

import (
	"encoding/binary"
)

// inflater decodes DEFLATE streams (RFC 1951) that are short and whole in memory. The libraries are made for long
// streams: most of what they spend on a log line goes into building decoding tables far larger than the
// line. Here tables are as small as the codes allow, and are filled by doubling. It takes and refuses what
// compress/flate does, which the tests hold it against. One goroutine at a time.
type inflater struct {
	codes    [maxLitLen + maxDist]code // the used ones of a block
	litLen   huffman
	dist     huffman
	codeLens huffman
}

const (
	maxLitLen    = 286
	maxDist      = 30
	maxCodeLen   = 15
	tableBits    = 9 // codes up to this length are looked up, longer ones walked
	tableMask    = 1<<tableBits - 1
	endOfBlock   = 256
	maxMatch     = 258
	maxOverread  = 7 // bytes past the end that a decoder of a whole stream looks ahead
	fixedLitLens = 288
)

// An entry says what a code stands for: code length in bits 0–5, number of extra bits in 6–11, kind in 13–15, and from
// 16 on the literal, or what the extra bits are added to. (Both numbers are masked with 63, which costs a shift nothing.)
// bitReader reads a stream from its lowest bits on.
type bitReader struct {
	in   []byte
	pos  int // past the end it counts zeros
	hold uint64
	n    uint // bits in hold
}

// fill makes at least 56 bits available, more than any symbol and what belongs to it takes. It is false well past the end.
func (b *bitReader) fill() bool {
	b.pos, b.hold, b.n = filled(b.in, b.pos, b.hold, b.n)
	return b.pos <= len(b.in)+maxOverread
}

// filled is fill for loops that keep the parts of a bitReader in registers: it is inlined.
func filled(in []byte, pos int, hold uint64, n uint) (int, uint64, uint) {
	if pos+8 <= len(in) {
		return pos + int((63-n)>>3), hold | binary.LittleEndian.Uint64(in[pos:])<<(n&63), n | 56
	}
	return filledAtEnd(in, pos, hold, n)
}

func filledAtEnd(in []byte, pos int, hold uint64, n uint) (int, uint64, uint) {
	for ; n < 56; n += 8 {
		if pos < len(in) {
			hold |= uint64(in[pos]) << n
		}
		pos++
	}
	return pos, hold, n
}

// whole says whether no bit past the end was used.
func (b *bitReader) whole() bool { return b.used() <= len(b.in) }

// used is how many bytes were used, the last one maybe in part.
func (b *bitReader) used() int { return b.pos - int(b.n/8) }

func (b *bitReader) take(n uint) uint64 {
	v := b.hold & (1<<(n&63) - 1)
	b.hold >>= n & 63
	b.n -= n
	return v
}

// inflate decodes the stream at the start of in into out. It returns how many bytes came out and how many went in; what
// is behind the former in out may have been overwritten. More than fits into out is ErrTooLarge; anything else wrong,
// the end missing included, is ErrChecksum.
func (f *inflater) inflate(out, in []byte) (n, used int, err error) {
	b := bitReader{in: in}
	for last := false; !last; {
		if !b.fill() {
			return 0, 0, ErrChecksum
		}
		last = b.take(1) == 1
		switch b.take(2) {
		case 0:
			n, err = b.stored(out, n)
		case 1:
			n, err = b.block(out, n, &fixedLitLen, &fixedDist)
		case 2:
			if !f.readCodes(&b) {
				return 0, 0, ErrChecksum
			}
			n, err = b.block(out, n, &f.litLen, &f.dist)
		default:
			err = ErrChecksum
		}
		if err != nil {
			return 0, 0, err
		}
		if !b.whole() {
			return 0, 0, ErrChecksum
		}
	}
	return n, b.used(), nil
}

// stored copies a block that is not compressed.
func (b *bitReader) stored(out []byte, n int) (int, error) {
	b.take(b.n & 7)
	if !b.fill() {
		return 0, ErrChecksum
	}
	size := int(b.take(16))
	if int(b.take(16)) != size^0xffff || !b.whole() {
		return 0, ErrChecksum
	}
	from := b.used()
	if from+size > len(b.in) {
		return 0, ErrChecksum
	}
	if n+size > len(out) {
		return 0, ErrTooLarge
	}
	copy(out[n:], b.in[from:from+size])
	*b = bitReader{in: b.in, pos: from + size}
	return n + size, nil
}

// codeOrder is the order in which the lengths of the code length code come.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the two codes of a block that brings its own (RFC 1951, 3.2.7).
func (f *inflater) readCodes(b *bitReader) bool {
	if !b.fill() {
		return false
	}
	litLens := int(b.take(5)) + 257
	dists := int(b.take(5)) + 1
	codes := int(b.take(4)) + 4
	if litLens > maxLitLen || dists > maxDist {
		return false
	}
	var lens [19]uint8
	for _, i := range codeOrder[:codes] {
		if b.n < 3 && !b.fill() {
			return false
		}
		lens[i] = uint8(b.take(3))
	}
	n := 0
	for i, l := range lens {
		if l > 0 {
			f.codes[n] = code(i<<4) | code(l)
			n++
		}
	}
	if !f.codeLens.build(f.codes[:n], &codeLenEntries, 1) {
		return false
	}
	n = 0
	mask := uint64(1)<<f.codeLens.bits - 1
	pos, hold, left := b.pos, b.hold, b.n // in registers while the loop runs
	previous := code(0)
	for i, end := 0, litLens+dists; i < end; {
		if left < 7+7 {
			pos, hold, left = filled(b.in, pos, hold, left)
		}
		e := f.codeLens.table[hold&mask&tableMask]
		if e&kindMask != kindLiteral {
			return false
		}
		hold >>= e & 63
		left -= uint(e & 63)
		symbol := code(e >> 16)
		if symbol <= maxCodeLen {
			f.codes[n] = code(i<<4) | symbol
			if symbol > 0 {
				n++
			}
			previous = symbol
			i++
			continue
		}
		least, extra := 3, uint(2)
		switch symbol {
		case 16:
			if i == 0 {
				return false
			}
		case 17:
			extra, previous = 3, 0
		case 18:
			least, extra, previous = 11, 7, 0
		}
		repeat := least + int(hold&(1<<extra-1))
		hold >>= extra
		left -= extra
		if repeat > end-i {
			return false
		}
		if previous > 0 {
			for j := range repeat {
				f.codes[n] = code((i+j)<<4) | previous
				n++
			}
		}
		i += repeat
	}
	b.pos, b.hold, b.n = pos, hold, left
	ofLitLen := n // how many of the codes are for literals and lengths; the rest is counted on from there
	for ofLitLen > 0 && int(f.codes[ofLitLen-1]>>4) >= litLens {
		ofLitLen--
		f.codes[ofLitLen] -= code(litLens << 4)
	}
	return b.whole() && f.litLen.build(f.codes[:ofLitLen], &litLenEntries, tableBits) &&
		f.dist.build(f.codes[ofLitLen:n], &distEntries, 1)
}

// block decodes symbols into out from n on until the block ends.
func (b *bitReader) block(out []byte, n int, litLen, dist *huffman) (int, error) {
	distMask := uint64(1)<<dist.bits - 1
	in, pos, hold, left := b.in, b.pos, b.hold, b.n // in registers while the loop runs
	for pos <= len(in)+maxOverread {
		pos, hold, left = filled(in, pos, hold, left)
		e := litLen.table[hold&tableMask]
		for range 4 { // literals of the table: at most 4×9 bits, and 9 for a look at the next code
			if e&kindMask != kindLiteral {
				break
			}
			if uint(n) >= uint(len(out)) {
				return 0, ErrTooLarge
			}
			out[n] = byte(e >> 16)
			n++
			hold >>= e & 63
			left -= uint(e & 63)
			e = litLen.table[hold&tableMask]
		}
		pos, hold, left = filled(in, pos, hold, left)
		if e&kindMask == kindLonger {
			e = litLen.walk(hold)
		}
		hold >>= e & 63
		left -= uint(e & 63)
		if e&kindMask != kindBase {
			switch e & kindMask {
			case kindLiteral: // a fifth, or a walked one
				if uint(n) >= uint(len(out)) {
					return 0, ErrTooLarge
				}
				out[n] = byte(e >> 16)
				n++
				continue
			case kindEnd:
				b.pos, b.hold, b.n = pos, hold, left
				return n, nil
			}
			return 0, ErrChecksum
		}
		extra := e >> 6 & 63
		length := int(e>>16) + int(hold&(1<<extra-1))
		hold >>= extra
		left -= uint(extra)
		if e = dist.table[hold&distMask&tableMask]; e&kindMask == kindLonger {
			e = dist.walk(hold)
		}
		if e&kindMask != kindBase {
			return 0, ErrChecksum
		}
		hold >>= e & 63
		extra = e >> 6 & 63
		distance := int(e>>16) + int(hold&(1<<extra-1))
		hold >>= extra
		left -= uint(e&63) + uint(extra)
		if distance > n {
			return 0, ErrChecksum
		}
		if n+length > len(out) {
			return 0, ErrTooLarge
		}
		from := n - distance
		if distance >= 8 && n+length+8 <= len(out) { // 8 bytes at a time, and what is too much is overwritten later
			end := n + length
			for ; n < end; n, from = n+8, from+8 {
				binary.LittleEndian.PutUint64(out[n:], binary.LittleEndian.Uint64(out[from:]))
			}
			n = end
			continue
		}
		for range length {
			out[n] = out[from]
			n++
			from++
		}
	}
	return 0, ErrChecksum
}
