package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"ossecd/agent/source"
)

// A record is
//
//	4 bytes  length of what follows the first 8, little-endian
//	4 bytes  CRC-32C of that
//	1 byte   queue
//	2 bytes  length of the location, then the location
//	         the message
const (
	recordHead = 8
	bodyHead   = 3
	maxBody    = 1 << 20 // more is no record
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends the record of an event. What is too long for one is cut.
func appendRecord(b []byte, e *source.Event) []byte {
	location := e.Location[:min(len(e.Location), 1<<16-1)]
	message := e.Message[:min(len(e.Message), maxBody-bodyHead-len(location))]
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, e.Queue)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(location)))
	b = append(b, location...)
	b = append(b, message...)
	body := b[at+recordHead:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

var errRecord = errors.New("this is no whole record")

// parseRecord reads the record at the beginning of b and returns its size. The event's message is part of b.
func parseRecord(b []byte, e *source.Event) (int, error) {
	if len(b) < recordHead+bodyHead {
		return 0, errRecord
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size < bodyHead || size > maxBody || size > len(b)-recordHead {
		return 0, errRecord
	}
	body := b[recordHead : recordHead+size]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, errRecord
	}
	n := bodyHead + int(binary.LittleEndian.Uint16(body[1:]))
	if n > size {
		return 0, errRecord
	}
	e.Queue, e.Message = body[0], body[n:]
	if location := body[bodyHead:n]; string(location) != e.Location { // as a rule the same as before
		e.Location = string(location)
	}
	return recordHead + size, nil
}

// scan counts the whole records at the beginning of a file, and their bytes.
func scan(f *os.File, size int64) (events uint64, good int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), readSize)
	var head [recordHead]byte
	var body []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return events, good, unlessEOF(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n < bodyHead || n > maxBody {
			return events, good, nil
		}
		if uint32(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return events, good, unlessEOF(err)
		}
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) || bodyHead+int(binary.LittleEndian.Uint16(body[1:])) > len(body) {
			return events, good, nil
		}
		events++
		good += recordHead + int64(n)
	}
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
