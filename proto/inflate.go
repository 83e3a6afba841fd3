package proto

import "encoding/binary"

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
	endOfBlock   = 256
	maxMatch     = 258
	maxOverread  = 8 // bytes past the end that the decoder looks ahead
	fixedLitLens = 288
)

// An entry says what a code stands for: code length in bits 0–3, number of extra bits in 4–7, kind in 8–9, and from
// 16 on the literal, or what the extra bits are added to.
const (
	kindLiteral = 0 << 8
	kindBase    = 1 << 8 // a match length, or a distance
	kindEnd     = 2 << 8
	kindInvalid = 3 << 8
	kindMask    = 3 << 8
)

// code is a symbol that a block uses: its value, and in the lowest 4 bits the length of its code.
type code uint16

// huffman decodes one canonical prefix code.
type huffman struct {
	bits    uint // of the table, at least 1
	table   [1 << tableBits]uint32
	longer  bool // there are codes that the table does not hold: its zero entries are walked
	count   [maxCodeLen + 1]uint16
	symbols [fixedLitLens]uint16 // sorted by length, then value
	entries *[fixedLitLens]uint32
}

// The entries of the three alphabets, without code lengths (RFC 1951, 3.2.5 and 3.2.7).
var litLenEntries, distEntries, codeLenEntries = func() (l, d, c [fixedLitLens]uint32) {
	for i := range 256 {
		l[i] = kindLiteral | uint32(i)<<16
	}
	l[endOfBlock] = kindEnd
	base := uint32(3)
	for i := range 28 {
		extra := uint32(max(i/4-1, 0))
		l[257+i] = kindBase | extra<<4 | base<<16
		base += 1 << extra
	}
	l[285] = kindBase | maxMatch<<16
	l[286], l[287] = kindInvalid, kindInvalid
	base = 1
	for i := range d {
		if i >= maxDist {
			d[i] = kindInvalid
			continue
		}
		extra := uint32(max(i/2-1, 0))
		d[i] = kindBase | extra<<4 | base<<16
		base += 1 << extra
	}
	for i := range c {
		c[i] = kindLiteral | uint32(i)<<16
	}
	return
}()

// fixed are the codes of blocks without their own (RFC 1951, 3.2.6).
var fixedLitLen, fixedDist = func() (l, d huffman) {
	var codes [fixedLitLens]code
	for i := range codes {
		switch {
		case i < 144, i >= 280:
			codes[i] = code(i<<4 | 8)
		case i < 256:
			codes[i] = code(i<<4 | 9)
		default:
			codes[i] = code(i<<4 | 7)
		}
	}
	l.build(codes[:], &litLenEntries)
	for i := range 32 {
		codes[i] = code(i<<4 | 5)
	}
	d.build(codes[:32], &distEntries)
	return
}()

// build makes the code of these symbols, which come in rising order. It is false where their lengths leave codes
// over or need too many; no code at all, and a single one of one bit, are taken, as zlib does.
func (h *huffman) build(codes []code, entries *[fixedLitLens]uint32) bool {
	h.entries = entries
	h.count = [maxCodeLen + 1]uint16{}
	for _, c := range codes {
		h.count[c&maxCodeLen]++
	}
	longest, used, left := uint(0), len(codes), 1
	var next [maxCodeLen + 2]uint16 // where the symbols of each length begin
	for n := 1; n <= maxCodeLen; n++ {
		c := int(h.count[n])
		next[n+1] = next[n] + uint16(c)
		if left = left<<1 - c; left < 0 {
			return false
		}
		if c > 0 {
			longest = uint(n)
		}
	}
	if left > 0 && used > 0 && (used > 1 || longest > 1) {
		return false
	}
	for _, c := range codes {
		h.symbols[next[c&maxCodeLen]%fixedLitLens] = uint16(c >> 4)
		next[c&maxCodeLen]++
	}
	h.bits = max(min(longest, tableBits), 1)
	h.longer = longest > tableBits
	if used <= 1 { // not all of the table is filled below
		h.table[0], h.table[1] = kindInvalid|1, kindInvalid|1
	}

	// The table for codes up to n bits is that for n-1 bits twice, and the codes of n bits. Codes are counted up from
	// their first bit down, as they stand in the stream.
	code, size, s := uint32(0), 1, 0
	for n := uint(1); n <= h.bits; n++ {
		copy(h.table[size:2*size], h.table[:size])
		size *= 2
		for range h.count[n] {
			h.table[code&(1<<tableBits-1)] = entries[h.symbols[s]] | uint32(n)
			s++
			// Add one to the code read backwards: clear the ones at its end, set the zero before them.
			bit := uint32(1) << (n - 1)
			for code&bit != 0 {
				code ^= bit
				bit >>= 1
			}
			code |= bit
		}
	}
	if h.longer { // what begins longer codes: every entry from the next code on
		h.markLonger(code)
	}
	return true
}

// markLonger makes zero the entries that codes longer than the table begin with. code is the first of them, read
// backwards; all that follow in the order of codes are longer too.
func (h *huffman) markLonger(code uint32) {
	for {
		h.table[code] = 0
		bit := uint32(1) << (tableBits - 1)
		for code&bit != 0 {
			code ^= bit
			bit >>= 1
		}
		if bit == 0 {
			return
		}
		code |= bit
	}
}

// walk finds the entry of a code longer than the table, one bit at a time.
func (h *huffman) walk(hold uint64) uint32 {
	code, first, index := 0, 0, 0
	for n := 1; n <= maxCodeLen; n++ {
		code |= int(hold & 1)
		hold >>= 1
		c := int(h.count[n])
		if code-c < first {
			return h.entries[h.symbols[index+code-first]] | uint32(n)
		}
		index += c
		first = (first + c) << 1
		code <<= 1
	}
	return kindInvalid | 1
}

// bitReader reads a stream from its lowest bits on.
type bitReader struct {
	in   []byte
	pos  int
	hold uint64
	n    uint // bits in hold
	over int  // bytes read past the end, as zeros
}

// fill makes at least 48 bits available, more than any symbol and what belongs to it takes. It is false well past the end.
func (b *bitReader) fill() bool {
	if b.pos+8 <= len(b.in) {
		b.hold |= binary.LittleEndian.Uint64(b.in[b.pos:]) << b.n
		b.pos += int((63 - b.n) >> 3)
		b.n |= 56
		return true
	}
	for b.n <= 56 {
		if b.pos < len(b.in) {
			b.hold |= uint64(b.in[b.pos]) << b.n
			b.pos++
		} else if b.over++; b.over > maxOverread {
			return false
		}
		b.n += 8
	}
	return true
}

// whole says whether no bit past the end was used.
func (b *bitReader) whole() bool { return b.over*8 <= int(b.n) }

func (b *bitReader) take(n uint) uint64 {
	v := b.hold & (1<<n - 1)
	b.hold >>= n
	b.n -= n
	return v
}

// inflate decodes the stream at the start of in into out. It returns how many bytes came out and how many went in. More
// than fits into out is ErrTooLarge; anything else wrong, the end missing included, is ErrChecksum.
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
	return n, b.pos + b.over - int(b.n/8), nil
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
	from := b.pos + b.over - int(b.n/8)
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
	if !f.codeLens.build(f.codes[:n], &codeLenEntries) {
		return false
	}
	n = 0
	ofLitLen := -1 // how many of the codes are for literals and lengths
	mask := uint64(1)<<f.codeLens.bits - 1
	previous := code(0)
	for i := 0; i < litLens+dists; {
		if b.n < 7+7 && !b.fill() {
			return false
		}
		e := f.codeLens.table[b.hold&mask&(1<<tableBits-1)]
		if e&kindMask != kindLiteral {
			return false
		}
		b.take(uint(e & 15))
		repeat := 1
		switch symbol := code(e >> 16); symbol {
		default:
			previous = symbol
		case 16:
			if i == 0 {
				return false
			}
			repeat = 3 + int(b.take(2))
		case 17:
			repeat, previous = 3+int(b.take(3)), 0
		case 18:
			repeat, previous = 11+int(b.take(7)), 0
		}
		end := i + repeat
		if end > litLens+dists {
			return false
		}
		if ofLitLen < 0 && end >= litLens {
			for ; i < litLens; i++ {
				if previous > 0 {
					f.codes[n] = code(i<<4) | previous
					n++
				}
			}
			ofLitLen = n
		}
		if previous > 0 {
			symbol := i
			if ofLitLen >= 0 {
				symbol -= litLens
			}
			for ; i < end; i++ {
				f.codes[n] = code(symbol<<4) | previous
				symbol++
				n++
			}
		}
		i = end
	}
	return b.whole() && f.litLen.build(f.codes[:ofLitLen], &litLenEntries) && f.dist.build(f.codes[ofLitLen:n], &distEntries)
}

// block decodes symbols into out from n on until the block ends.
func (b *bitReader) block(out []byte, n int, litLen, dist *huffman) (int, error) {
	litMask, distMask := uint64(1)<<litLen.bits-1, uint64(1)<<dist.bits-1
	in, pos, hold, bits := b.in, b.pos, b.hold, b.n // in registers while the loop runs
	for {
		if bits < 48 {
			if pos+8 <= len(in) {
				hold |= binary.LittleEndian.Uint64(in[pos:]) << bits
				pos += int((63 - bits) >> 3)
				bits |= 56
			} else {
				b.pos, b.hold, b.n = pos, hold, bits
				if !b.fill() {
					return 0, ErrChecksum
				}
				pos, hold, bits = b.pos, b.hold, b.n
			}
		}
		e := litLen.table[hold&litMask&(1<<tableBits-1)]
		if e == 0 {
			e = litLen.walk(hold)
		}
		hold >>= e & 15
		bits -= uint(e & 15)
		if e&kindMask == kindLiteral {
			if n >= len(out) {
				return 0, ErrTooLarge
			}
			out[n] = byte(e >> 16)
			n++
			continue
		}
		if e&kindMask != kindBase {
			if e&kindMask == kindEnd {
				b.pos, b.hold, b.n = pos, hold, bits
				return n, nil
			}
			return 0, ErrChecksum
		}
		extra := e >> 4 & 15
		length := int(e>>16) + int(hold&(1<<extra-1))
		hold >>= extra
		bits -= uint(extra)
		if e = dist.table[hold&distMask&(1<<tableBits-1)]; e == 0 {
			e = dist.walk(hold)
		}
		if e&kindMask != kindBase {
			return 0, ErrChecksum
		}
		hold >>= e & 15
		extra = e >> 4 & 15
		distance := int(e>>16) + int(hold&(1<<extra-1))
		hold >>= extra
		bits -= uint(e&15) + uint(extra)
		if distance > n {
			return 0, ErrChecksum
		}
		if n+length > len(out) {
			return 0, ErrTooLarge
		}
		to, from := out[n:n+length], out[n-distance:]
		n += length
		if distance >= length {
			if length <= 8 && len(from) >= 8 && len(to) == length { // short ones are cheaper by hand
				for i := range to {
					to[i] = from[i]
				}
				continue
			}
			copy(to, from)
			continue
		}
		for i := range to {
			to[i] = from[i]
		}
	}
}
