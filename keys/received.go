package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"sync"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// ErrReceived says that the file of received counters cannot be used; the error around it names file and remedy.
var ErrReceived = errors.New("not a file of received counters")

// The file: slots of 256 bytes, little-endian, the first of them the header. A slot never moves; one without an ID is free
// ([Received.Tidy]). It grows
// by zeros that are written, so that a full disk is an error of growing and never a fault at a mapped page; sizes
// and with them the mapped pieces are multiples of 64 KiB, the largest page of the systems we run on.
const (
	receivedMagic   = "ossecdRC"
	receivedVersion = 1

	headVersion  = 8
	headSlotSize = 16
	headMade     = 24 // how many slots follow; raised after the slot is whole
	headSize     = 32

	slotSize = 256
	growUnit = 64 << 10
	growMost = 1 << 20 // 4,096 slots
)

// Received is the received counters: for each agent, manager and KEY the highest count and the window below it.
// They outlive the process, killed at any instant, without a system call per message: the file is mapped, so what
// was stored is the system's to keep from then on. (Where files are not mapped, on Windows, each slot is written
// as it changes.) A power cut can lose what the system had not written yet, by habit the last 30 seconds.
//
// A count is recorded before its message is passed on, so a kill loses at most the messages at hand, one for each
// goroutine that receives, and lets none in twice.
//
// One process at a time may have the file open: the caller holds the lock of the state directory. All methods may
// be called by any goroutine.
type Received struct {
	path string
	file *os.File
	mmap mapper // nil: slots are written, not mapped

	mu     sync.Mutex // guards what follows
	head   *[slotSize]byte
	made   int              // slots in use
	size   int64            // of the file, all of it in pieces
	pieces []piece          // in the order of the file
	first  map[uint64]*Slot // by ID, the rest of that ID through Slot.next
	free   []*Slot          // among those in use, without an agent
	tidied time.Time        // when Tidy last looked

	mostGone int // a constant, but for tests

	failing sync.Mutex
	failure error // of the first write where slots are written
}

// mapper maps size bytes of the file from offset at, shared and writable. Both are multiples of growUnit.
type mapper func(f *os.File, at int64, size int) (mem []byte, unmap func() error, err error)

// piece is a part of the file that never moves: the size at opening, then one for each growth.
type piece struct {
	slots []Slot // the very first is the header
	unmap func() error
}

// OpenReceived opens the file, making it where it is missing. A file that is no such file, shorter than it says or
// damaged is ErrReceived. It reads all of it: 25 MB for 100,000 agents.
func OpenReceived(path string) (*Received, error) { return openReceived(path, mapFile) }

func openReceived(path string, mmap mapper) (r *Received, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = makeReceived(path)
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, damaged(path, "no regular file")
	}
	if err != nil {
		return nil, fmt.Errorf("received counters: %w; free space, or make the directory writable for this user", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("received counters: %w; make the file writable for this user", err)
	}
	r = &Received{path: path, file: f, mmap: mmap, first: make(map[uint64]*Slot), mostGone: mostGone}
	if err := r.load(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func makeReceived(path string) error {
	empty := make([]byte, growUnit)
	copy(empty, receivedMagic)
	binary.LittleEndian.PutUint64(empty[headVersion:], receivedVersion)
	binary.LittleEndian.PutUint64(empty[headSlotSize:], slotSize)
	return durable.ReplaceFile(path, empty, 0o600)
}

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s; restore it from a backup, or move it away and let rids/ tell how far the agents had counted (recorded messages above that are then accepted once more)",
		path, ErrReceived, fmt.Sprintf(format, args...))
}

func (r *Received) load() error {
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("received counters: %w", err)
	}
	size := info.Size()
	var head [headSize]byte
	if size < growUnit {
		return damaged(r.path, "it has %d bytes and starts at %d", size, growUnit)
	}
	if _, err := r.file.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("received counters: %w", err)
	}
	version, slots := binary.LittleEndian.Uint64(head[headVersion:]), binary.LittleEndian.Uint64(head[headSlotSize:])
	if string(head[:headVersion]) != receivedMagic || version != receivedVersion || slots != slotSize {
		return damaged(r.path, "its head is %.24q", head[:])
	}
	made := binary.LittleEndian.Uint64(head[headMade:])
	if made > uint64(size/slotSize)-1 {
		return damaged(r.path, "it has room for %d agents and speaks of %d", size/slotSize-1, made)
	}
	r.made = int(made)
	if rest := size % growUnit; rest > 0 { // a kill while it grew: no slot is there yet
		if err := r.writeZeros(size, growUnit-rest); err != nil {
			return err
		}
		size += growUnit - rest
	}
	if err := r.take(size); err != nil {
		return err
	}
	r.head = r.pieces[0].slots[0].mem
	for i := range r.pieces[0].slots[1 : 1+r.made] {
		if err := r.index(&r.pieces[0].slots[1+i]); err != nil {
			return err
		}
	}
	return nil
}

// index checks a slot as found in the file and enters it.
func (r *Received) index(s *Slot) error {
	if s.word(slotID) == 0 { // freed, or a power cut kept the head and not the slot, or a kill came while one was filled
		s.empty()
		r.free = append(r.free, s)
		return nil
	}
	if err := checkID(s.ID()); err != nil {
		return damaged(r.path, "the slot at byte %d has the ID %q", s.at, s.ID())
	}
	most := proto.Counter{Global: math.MaxUint32, Local: maxLocal}.Value()
	if high := s.window().Highest(); high > most || s.word(slotKnown) > most {
		return damaged(r.path, "the slot of agent %s counts to %d", s.ID(), high)
	}
	s.window().Mend()
	r.enter(s)
	return nil
}

func (r *Received) enter(s *Slot) {
	id := s.word(slotID)
	s.next = r.first[id]
	r.first[id] = s
}

// take makes the file up to size usable as a new piece.
func (r *Received) take(size int64) error {
	n := size - r.size
	if n > math.MaxInt {
		return damaged(r.path, "it has %d bytes", size)
	}
	var mem []byte
	var p piece
	var err error
	if r.mmap != nil {
		mem, p.unmap, err = r.mmap(r.file, r.size, int(n))
	} else {
		mem = make([]byte, n)
		_, err = r.file.ReadAt(mem, r.size)
	}
	if err != nil {
		return fmt.Errorf("%s: map received counters: %w; keep the state directory on a local file system", r.path, err)
	}
	p.slots = make([]Slot, n/slotSize)
	for i := range p.slots {
		s := &p.slots[i]
		s.in, s.at = r, r.size+int64(i)*slotSize
		s.mem = (*[slotSize]byte)(mem[i*slotSize:])
	}
	r.pieces = append(r.pieces, p)
	r.size = size
	return nil
}

// writeZeros gives the file real blocks, so that storing to a mapped page never needs a new one.
func (r *Received) writeZeros(at, n int64) error {
	zeros := make([]byte, growUnit)
	var err error
	for done := int64(0); done < n && err == nil; {
		var wrote int
		wrote, err = r.file.WriteAt(zeros[:min(growUnit, n-done)], at+done)
		done += int64(wrote)
	}
	if err == nil {
		err = r.file.Sync() // some file systems learn only now that there is no room
	}
	if err != nil {
		return errors.Join(fmt.Errorf("received counters: %w; free space: agents new to this file are refused until then", err), r.file.Truncate(at))
	}
	return nil
}

// Slot finds the received counter of an agent, or makes it. secret is the KEY of client.keys: another one is another
// counter, and the same one removed and added again finds what it had. peer is "" for a manager, and on an agent the
// manager's host:port as configured if there are several.
//
// rids is what the stock file of that agent says (ReadRids), the zero counter if there is none or it speaks of
// another peer. It is taken over, so that nothing up to it passes, if it is above all that this file ever knew of
// that ID; otherwise it is our own old writing.
//
// The same arguments give the same *Slot. It is valid until Close.
func (r *Received) Slot(id, secret, peer string, rids proto.Counter) (*Slot, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	want := fingerprint(id, secret, peer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head == nil {
		return nil, fmt.Errorf("%s: %w", r.path, os.ErrClosed)
	}
	var found *Slot
	var known uint64
	for s := r.first[idWord(id)]; s != nil; s = s.next {
		s.mu.Lock()
		known = max(known, s.known())
		s.mu.Unlock()
		if bytes.Equal(s.mem[slotPrint:slotID], want[:]) {
			found = s
		}
	}
	if found == nil {
		var err error
		if found, err = r.make(id, want); err != nil {
			return nil, err
		}
	}
	if v := rids.Value(); v > known {
		found.takeOver(v)
	}
	found.set(slotGone, 0)
	return found, nil
}

// resetID resets all slots of an ID, and says whether there are any.
func (r *Received) resetID(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.first[idWord(id)]
	for s := first; s != nil; s = s.next {
		s.Reset()
	}
	return first != nil
}

// make adds a slot, or fills one that is free. The caller holds mu.
func (r *Received) make(id string, print [16]byte) (*Slot, error) {
	if n := len(r.free); n > 0 {
		s := r.free[n-1]
		r.free = r.free[:n-1]
		s.fill(id, print)
		r.enter(s)
		return s, nil
	}
	if int64(r.made+1)*slotSize == r.size {
		step := min(r.size, growMost)
		if err := r.writeZeros(r.size, step); err != nil {
			return nil, err
		}
		if err := r.take(r.size + step); err != nil {
			return nil, err
		}
	}
	at := int64(r.made+1) * slotSize
	last := r.pieces[len(r.pieces)-1].slots
	s := &last[(at-last[0].at)/slotSize]
	s.fill(id, print)
	r.made++
	binary.LittleEndian.PutUint64(r.head[headMade:], uint64(r.made))
	r.pieces[0].slots[0].save()
	r.enter(s)
	return s, nil
}

// fingerprint tells slots apart. The file holds no KEY.
func fingerprint(id, secret, peer string) [16]byte {
	text := append(make([]byte, 0, 192), "ossecd received counter 1"...) // on the stack for usual lengths
	for _, field := range []string{id, secret, peer} {
		text = binary.LittleEndian.AppendUint64(text, uint64(len(field)))
		text = append(text, field...)
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:])
}

// idWord is the ID as eight bytes, zeros behind it. The ID is checked.
func idWord(id string) uint64 {
	var b [8]byte
	copy(b[:], id)
	return binary.LittleEndian.Uint64(b[:])
}

// Flush brings the stock files in dir (STATE/rids) up to date with the given slots, for each ID the one of its
// present key, and tells how many files it wrote, and the first error. Files that say the right thing are not
// touched, so calling it often is cheap. It goes on after an error and stops when ctx is done.
func (r *Received) Flush(ctx context.Context, dir string, slots iter.Seq[*Slot]) (wrote int, err error) {
	r.failing.Lock()
	err = r.failure
	r.failing.Unlock()
	err = errors.Join(err, r.inPlace())
	var d *ridsDir
	for s := range slots {
		id, v, changed := s.toTell()
		if !changed {
			continue
		}
		if ctx.Err() != nil {
			return wrote, errors.Join(err, ctx.Err())
		}
		if d == nil {
			var dirErr error
			if d, dirErr = openRidsDir(dir); dirErr != nil {
				return 0, errors.Join(err, dirErr)
			}
			defer d.Close()
		}
		switch writeErr := d.write(id, proto.CounterAt(v)); {
		case writeErr == nil:
			s.told(v)
			wrote++
		case err == nil:
			err = writeErr
		}
	}
	return wrote, err
}

// Close lets go of the file. No Slot may be used any more: doing so panics.
func (r *Received) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, p := range r.pieces {
		for i := range p.slots {
			p.slots[i].close()
		}
		if p.unmap != nil {
			err = errors.Join(err, p.unmap())
		}
	}
	r.pieces, r.head, r.first = nil, nil, nil
	return errors.Join(err, r.file.Close())
}
