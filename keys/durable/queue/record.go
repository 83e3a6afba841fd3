package queue

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// A record is written as
//
//	4 bytes  length of what follows the first 8, little-endian
//	4 bytes  CRC-32C of that
//	         the record
const recordHead = 8

// MaxRecord is the length of the longest record. A longer one is cut.
const MaxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal completes the record that begins with its empty head at start and ends with b.
func seal(b []byte, start int) []byte {
	b = b[:min(len(b), start+recordHead+MaxRecord)]
	record := b[start+recordHead:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(record)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(record, castagnoli))
	return b
}

var errRecord = errors.New("this is no whole record")

// open is the record at the beginning of b.
func open(b []byte) ([]byte, error) {
	if len(b) < recordHead {
		return nil, errRecord
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size > MaxRecord || size > len(b)-recordHead {
		return nil, errRecord
	}
	record := b[recordHead : recordHead+size : recordHead+size]
	if size == 0 || crc32.Checksum(record, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, errRecord
	}
	return record, nil
}

// scan counts the whole records at the beginning of a file, and their bytes.
func scan(f *os.File, size int64) (records uint64, good int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), readSize)
	var head [recordHead]byte
	var body []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return records, good, unlessEOF(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n == 0 || n > MaxRecord {
			return records, good, nil
		}
		if uint32(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return records, good, unlessEOF(err)
		}
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return records, good, nil
		}
		records++
		good += recordHead + int64(n)
	}
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
