package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"
	"time"
)

// segment is one file: a header and records.
//
//	8 bytes  "ossecdQS"
//	4 bytes  version
//	4 bytes  salt of the queue
//	8 bytes  number of its first record
//	4 bytes  CRC-32C of the above
//	4 bytes  zero
type segment struct {
	first uint64 // number of its first record
	begin int64  // where it begins if all segments that ever were are put end to end
	size  int64
	old   bool      // of version 0
	next  uint64    // of the newest: number after that of its last record
	last  time.Time // when it was written last
	marks []mark    // some places in it, at least markEvery apart
	file  *os.File  // of the newest, else nil
}

// mark is the place of a record.
type mark struct {
	number uint64
	offset int64
}

const (
	segmentMagic   = "ossecdQS"
	segmentVersion = 1
	segmentHead    = 32
	markEvery      = 256 << 10
)

// ErrNewer says that a file is of a later version of the program.
var ErrNewer = errors.New("it was written by a newer version of ossecd; run that, or move the directory away and lose what it holds")

func (g *segment) header(salt uint32) []byte {
	b := append(make([]byte, 0, segmentHead), segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, segmentVersion)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = binary.LittleEndian.AppendUint64(b, g.first)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, 0, 0, 0, 0)
}

// inspect finds out what version the segment has. ok is false where its header is damaged, or not all there.
func (g *segment) inspect(f io.ReaderAt) (salt uint32, ok bool, err error) {
	var b [segmentHead]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	switch {
	case n >= 8 && string(b[:8]) == segmentMagic:
	default:
		g.old, err = isOf0(f)
		return 0, false, err
	}
	if n < segmentHead || crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return 0, false, nil
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > segmentVersion {
		return 0, false, fmt.Errorf("%w (version %d, known is %d)", ErrNewer, v, segmentVersion)
	}
	return binary.LittleEndian.Uint32(b[12:]), true, nil
}

// isOf0 says whether a segment is of version 0: it begins with a whole record of that. A damaged header must not be taken for one.
func isOf0(f io.ReaderAt) (bool, error) {
	var b [headOf0]byte
	if n, err := f.ReadAt(b[:], 0); n < len(b) {
		return false, ignoreEOF(err)
	}
	size := int(binary.LittleEndian.Uint32(b[:]))
	if size == 0 || size > MaxRecord {
		return false, nil
	}
	record := make([]byte, headOf0+size)
	if n, err := f.ReadAt(record, 0); n < len(record) {
		return false, ignoreEOF(err)
	}
	_, err := openOf0(record)
	return err == nil, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// guess is the salt by which the first two records of a segment are whole, whose header is not.
func (g *segment) guess(f io.ReaderAt) (salt uint32, ok bool) {
	at := int64(segmentHead)
	for i := range uint64(2) {
		b := make([]byte, Head)
		if _, err := f.ReadAt(b, at); err != nil || Size(b) <= Head || Size(b) > Head+MaxRecord || Number(b) != g.first+i {
			return 0, false
		}
		text := make([]byte, Size(b)-Head)
		if _, err := f.ReadAt(text, at+Head); err != nil {
			return 0, false
		}
		s := binary.LittleEndian.Uint32(b[4:]) ^ crc32.Checksum(text, castagnoli) ^ mask(Number(b), 0)
		salt, ok = s, i > 0 && s == salt
		at += int64(Size(b))
	}
	return salt, ok
}

// start is where its first record is.
func (g *segment) start() int64 {
	if g.old {
		return 0
	}
	return segmentHead
}

// note notes that a record is at an offset.
func (g *segment) note(number uint64, offset int64) {
	if n := len(g.marks); n == 0 || offset-g.marks[n-1].offset >= markEvery {
		g.marks = append(g.marks, mark{number, offset})
	}
}

// near is a place in the segment that is not behind a record, and as near to it as is known.
func (g *segment) near(number uint64) Position {
	i := sort.Search(len(g.marks), func(i int) bool { return g.marks[i].number > number })
	if i == 0 {
		return Position{g.first, g.start(), g.first}
	}
	return Position{g.first, g.marks[i-1].offset, g.marks[i-1].number}
}

// count goes through a segment of which only the size is known, up to its last whole record: that ends at good, and next is the number
// after its own. What is damaged before it is passed over.
func (g *segment) count(f io.ReaderAt, salt uint32, visit func(record []byte)) (next uint64, good int64, err error) {
	next, good = g.first, min(g.start(), g.size)
	r := scanner{file: f, size: g.size, old: g.old, salt: salt, last: ^uint64(0), at: Position{g.first, g.start(), g.first}}
	for {
		record, ok, err := r.next()
		if err != nil || !ok {
			return next, good, err
		}
		g.note(Number(record), r.at.Offset-r.took)
		next, good = r.at.Record, r.at.Offset
		if visit != nil {
			visit(record)
		}
	}
}

// scanner reads the records of a segment.
type scanner struct {
	file io.ReaderAt
	size int64 // of the file
	old  bool
	salt uint32
	last uint64 // no record of the segment has this number or a higher one

	at    Position // behind the record read last
	took  int64    // bytes of that in the file
	chunk []byte   // of the file; what was written there never changes
	from  int64    // where chunk begins in it
	made  []byte   // the record read last, if it is of version 0
}

// ahead is how much is read at once, as a rule.
const ahead = 256 << 10

// bytes is what the file has at an offset, n bytes if it has as many. It is valid until the next call.
func (s *scanner) bytes(offset int64, n int) ([]byte, error) {
	if offset >= s.from && offset+int64(n) <= s.from+int64(len(s.chunk)) {
		return s.chunk[offset-s.from:], nil
	}
	want := int(min(int64(max(n, ahead)), s.size-offset))
	s.chunk = slices.Grow(s.chunk[:0], want)[:want]
	got, err := s.file.ReadAt(s.chunk, offset)
	s.chunk, s.from = s.chunk[:got], offset
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s.chunk, nil
}

func (s *scanner) head() int {
	if s.old {
		return headOf0
	}
	return Head
}

// record is the whole record with a number that can be, at an offset, nil where there is none. size is how many bytes of the file it takes.
func (s *scanner) record(offset int64) (record []byte, size int64, err error) {
	head := s.head()
	b, err := s.bytes(offset, head)
	if err != nil || len(b) < head {
		return nil, 0, err
	}
	n := Size(b)
	if s.old {
		n += head
	} else if k := Number(b); k < s.at.Record || k >= s.last {
		return nil, 0, nil
	}
	if n > Head+MaxRecord || int64(n) > s.size-offset {
		return nil, 0, nil
	}
	if len(b) < n {
		if b, err = s.bytes(offset, n); err != nil {
			return nil, 0, err
		}
	}
	if !s.old {
		record, _ = open(b, s.salt)
		return record, int64(n), nil
	}
	text, err := openOf0(b)
	if err != nil {
		return nil, 0, nil
	}
	s.made = Seal(append(append(s.made[:0], make([]byte, Head)...), text...), 0)
	Stamp(s.made, s.at.Record, s.salt)
	return s.made, int64(n), nil
}

// next is the next record, and goes past it. It is valid until the next call; ok is false at the end.
func (s *scanner) next() (record []byte, ok bool, err error) {
	for offset := s.at.Offset; ; {
		if s.size-offset < int64(s.head()) {
			return nil, false, nil
		}
		record, size, err := s.record(offset)
		if err != nil {
			return nil, false, err
		}
		if record != nil {
			s.at.Offset, s.at.Record, s.took = offset+size, Number(record)+1, size
			return record, true, nil
		}
		if s.old { // its records cannot be told from what else is in the file
			return nil, false, nil
		}
		if offset, err = s.candidate(offset + 1); err != nil {
			return nil, false, err
		}
	}
}

// candidate is the next offset from one on at which a record may be: its number has the same highest bytes as the last one's.
func (s *scanner) candidate(offset int64) (int64, error) {
	const from, to = 8 + 5, 8 + 8 // of these in a head
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], s.at.Record)
	for s.size-offset >= Head {
		b, err := s.bytes(offset, Head)
		if err != nil || len(b) < Head {
			return s.size, err
		}
		if i := bytes.Index(b[from:], number[from-8:]); i >= 0 {
			return offset + int64(i), nil
		}
		offset += int64(len(b) - (to - 1))
	}
	return s.size, nil
}
