package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
)

// cursor is the file that says how far all was delivered. It begins with a header:
//
//	8 bytes  "ossecdQC"
//	4 bytes  version
//	4 bytes  salt of the queue
//
// There are two places behind it that are written in turn, so that one of them is whole whenever the process or the machine stops:
//
//	8 bytes  which writing this is, counted up from 1
//	8 bytes  Position.Segment
//	8 bytes  Position.Offset
//	8 bytes  Position.Record
//	4 bytes  CRC-32C of the above
//
// In version 0 there is no header.
type cursor struct {
	file  *os.File
	turn  uint64
	place [2]Position
	salt  uint32
	old   bool // of version 0, which knows no salt
	bad   bool // there is a file, and it says nothing
}

const (
	cursorMagic   = "ossecdQC"
	cursorVersion = 1
	cursorHead    = 16
	cursorSize    = 36
)

// open reads the file. It stays as it is until the first save.
func (c *cursor) open(path string) (err error) {
	*c = cursor{}
	if c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	var b [cursorHead + 2*cursorSize]byte
	n, err := c.file.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	places := b[:n]
	if c.old = n < 8 || string(b[:8]) != cursorMagic; !c.old {
		if v := binary.LittleEndian.Uint32(b[8:]); v > cursorVersion {
			return fmt.Errorf("%s: %w (version %d, known is %d)", path, ErrNewer, v, cursorVersion)
		}
		c.salt = binary.LittleEndian.Uint32(b[12:])
		places = b[cursorHead:max(n, cursorHead)]
	}
	for i := range c.place {
		if len(places) < (i+1)*cursorSize {
			break
		}
		b := places[i*cursorSize:]
		if crc32.Checksum(b[:32], castagnoli) != binary.LittleEndian.Uint32(b[32:]) {
			continue
		}
		turn := binary.LittleEndian.Uint64(b)
		p := Position{binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:])), binary.LittleEndian.Uint64(b[24:])}
		if turn%2 != uint64(i) || turn <= c.turn || p.Segment == 0 || p.Record < p.Segment {
			continue
		}
		c.turn, c.place[i] = turn, p
	}
	saved := c.old || strings.Trim(string(places), "\x00") != "" // else it ended before the first save
	c.bad = n > 0 && c.turn == 0 && saved
	return nil
}

// position is what was saved last, if anything.
func (c *cursor) position() (Position, bool) { return c.place[c.turn%2], c.turn > 0 }

func (c *cursor) save(p Position, salt uint32) error {
	if c.old || c.salt != salt {
		if err := c.renew(salt); err != nil {
			return err
		}
	}
	turn := c.turn + 1
	var b [cursorSize]byte
	c.put(b[:], turn, p)
	if _, err := c.file.WriteAt(b[:], cursorHead+int64(turn%2)*cursorSize); err != nil {
		return err
	}
	c.turn, c.place[turn%2] = turn, p
	return nil
}

func (c *cursor) put(b []byte, turn uint64, p Position) {
	binary.LittleEndian.PutUint64(b, turn)
	binary.LittleEndian.PutUint64(b[8:], p.Segment)
	binary.LittleEndian.PutUint64(b[16:], uint64(p.Offset))
	binary.LittleEndian.PutUint64(b[24:], p.Record)
	binary.LittleEndian.PutUint32(b[32:], crc32.Checksum(b[:32], castagnoli))
}

// renew writes the file anew with a header and what it says, in one write.
func (c *cursor) renew(salt uint32) error {
	b := append(make([]byte, 0, cursorHead+2*cursorSize), cursorMagic...)
	b = binary.LittleEndian.AppendUint32(b, cursorVersion)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = b[:cap(b)]
	if c.turn > 0 {
		c.put(b[cursorHead+c.turn%2*cursorSize:], c.turn, c.place[c.turn%2])
	}
	if _, err := c.file.WriteAt(b, 0); err != nil {
		return err
	}
	c.old, c.salt = false, salt
	return nil
}

func (c *cursor) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
