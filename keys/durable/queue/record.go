package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record is written as
//
//	4 bytes  length of all of it, little-endian
//	4 bytes  CRC-32C of its text, XORed with its number and the salt of the queue
//	8 bytes  its number
//	         its text
//
// The number shows after damage which records are missing. The salt is random: so nobody can put something into the text of a
// record that would be taken for a record once the one around it is damaged.
const Head = 16

// MaxRecord is the length of the longest text. A longer one is cut.
const MaxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Size is the size of the record that b begins with.
func Size(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// Number is the number of the record that b begins with.
func Number(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }

// Seal completes the record that begins at start, with room for its head, and ends with b. Only its number is still missing.
func Seal(b []byte, start int) []byte {
	b = b[:min(len(b), start+Head+MaxRecord)]
	r := b[start:]
	binary.LittleEndian.PutUint32(r, uint32(len(r)))
	binary.LittleEndian.PutUint32(r[4:], crc32.Checksum(r[Head:], castagnoli))
	binary.LittleEndian.PutUint64(r[8:], 0)
	return b
}

// Stamp gives the sealed record that b begins with its number. It is done once.
func Stamp(b []byte, number uint64, salt uint32) {
	sum := binary.LittleEndian.Uint32(b[4:])
	binary.LittleEndian.PutUint32(b[4:], sum^mask(number, salt))
	binary.LittleEndian.PutUint64(b[8:], number)
}

func mask(number uint64, salt uint32) uint32 { return salt ^ uint32(number) ^ uint32(number>>32) }

var errRecord = errors.New("this is no whole record")

// open is the record that b begins with.
func open(b []byte, salt uint32) (record []byte, err error) {
	if len(b) < Head {
		return nil, errRecord
	}
	size := Size(b)
	if size <= Head || size > Head+MaxRecord || size > len(b) {
		return nil, errRecord
	}
	if crc32.Checksum(b[Head:size], castagnoli)^mask(Number(b), salt) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, errRecord
	}
	return b[:size:size], nil
}

// Version 0, of which segments have no header, has
//
//	4 bytes  length of what follows the first 8, little-endian
//	4 bytes  CRC-32C of that
const headOf0 = 8

// openOf0 is the text of the record of version 0 that b begins with.
func openOf0(b []byte) ([]byte, error) {
	if len(b) < headOf0 {
		return nil, errRecord
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size == 0 || size > MaxRecord || size > len(b)-headOf0 {
		return nil, errRecord
	}
	text := b[headOf0 : headOf0+size]
	if crc32.Checksum(text, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, errRecord
	}
	return text, nil
}
