package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// cursor is the file that says how far all was delivered. It has two places that are written in turn, so that one of them
// is whole whenever the process or the machine stops:
//
//	8 bytes  which writing this is, counted up from 1
//	8 bytes  Position.Segment
//	8 bytes  Position.Offset
//	8 bytes  Position.Record
//	4 bytes  CRC-32C of the above
type cursor struct {
	file  *os.File
	turn  uint64
	place [2]Position
}

const cursorSize = 36

func (c *cursor) open(path string) (err error) {
	if c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	for i := range c.place {
		var b [cursorSize]byte
		if _, err := c.file.ReadAt(b[:], int64(i)*cursorSize); err != nil {
			if errors.Is(err, io.EOF) {
				continue
			}
			return err
		}
		if crc32.Checksum(b[:32], castagnoli) != binary.LittleEndian.Uint32(b[32:]) {
			continue
		}
		turn := binary.LittleEndian.Uint64(b[:])
		p := Position{binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:])), binary.LittleEndian.Uint64(b[24:])}
		if turn%2 != uint64(i) || turn <= c.turn || p.Segment == 0 || p.Offset < 0 || p.Record < p.Segment {
			continue
		}
		c.turn, c.place[i] = turn, p
	}
	return nil
}

// position is what was saved last, if anything.
func (c *cursor) position() (Position, bool) { return c.place[c.turn%2], c.turn > 0 }

func (c *cursor) save(p Position) error {
	turn := c.turn + 1
	var b [cursorSize]byte
	binary.LittleEndian.PutUint64(b[:], turn)
	binary.LittleEndian.PutUint64(b[8:], p.Segment)
	binary.LittleEndian.PutUint64(b[16:], uint64(p.Offset))
	binary.LittleEndian.PutUint64(b[24:], p.Record)
	binary.LittleEndian.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
	if _, err := c.file.WriteAt(b[:], int64(turn%2)*cursorSize); err != nil {
		return err
	}
	c.turn, c.place[turn%2] = turn, p
	return nil
}

func (c *cursor) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
