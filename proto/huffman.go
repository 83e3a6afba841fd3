package proto

import "math/bits"

const (
	kindLiteral = 0 << 13
	kindBase    = 1 << 13 // a match length, or a distance
	kindEnd     = 2 << 13
	kindInvalid = 3 << 13
	kindLonger  = 4 << 13 // a code that the table does not hold and walk finds
	kindMask    = 7 << 13
)

// code is a symbol that a block uses: its value, and in the lowest 4 bits the length of its code.
type code uint16

// huffman decodes one canonical prefix code.
type huffman struct {
	bits    uint // of the table, at least 1
	table   [1 << tableBits]uint32
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
		l[257+i] = kindBase | extra<<6 | base<<16
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
		d[i] = kindBase | extra<<6 | base<<16
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
	l.build(codes[:], &litLenEntries, tableBits)
	for i := range 32 {
		codes[i] = code(i<<4 | 5)
	}
	d.build(codes[:32], &distEntries, 1)
	return
}()

// build makes the code of these symbols, which come in rising order. It is false where their lengths leave codes
// over or need too many; no code at all, and a single one of one bit, are taken, as zlib does. The table has at least
// minBits.
func (h *huffman) build(codes []code, entries *[fixedLitLens]uint32, minBits uint) bool {
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
		h.symbols[next[c&maxCodeLen]] = uint16(c >> 4)
		next[c&maxCodeLen]++
	}
	h.bits = max(min(longest, tableBits), minBits)
	if used <= 1 { // not all of the table is filled below
		h.table[0], h.table[1] = kindInvalid|1, kindInvalid|1
	}

	// The table for codes up to n bits is that for n-1 bits twice, and the codes of n bits. Codes are counted up from
	// their first bit down, as they stand in the stream.
	code, size, s := uint(0), 1, 0
	for n := uint(1); n <= h.bits; n++ {
		copy(h.table[size:2*size], h.table[:size])
		size *= 2
		code <<= 1
		for range h.count[n] {
			h.table[bits.Reverse16(uint16(code<<(16-n)))&tableMask] = entries[h.symbols[s]] | uint32(n)
			s++
			code++
		}
	}
	if longest > tableBits { // all further codes
		for ; code <= tableMask; code++ {
			h.table[bits.Reverse16(uint16(code<<(16-tableBits)))&tableMask] = kindLonger
		}
	}
	return true
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
