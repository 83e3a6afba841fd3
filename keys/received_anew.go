package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ossecd/keys/durable"
)

// inPlace says that the file is no longer at its path, so that what is counted ends with this process. If nothing is there, it is
// made anew of what is mapped.
func (r *Received) inPlace() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("received counters: %w", err)
	}
	there, err := os.Stat(r.path)
	if err == nil && os.SameFile(mine, there) {
		return nil
	}
	const ends = "counts are lost with this process; stop it in order, so that rids/ has them, and start it again"
	if !errors.Is(err, fs.ErrNotExist) || r.mmap == nil {
		return fmt.Errorf("%s was removed or replaced while in use: %s", r.path, ends)
	}
	if err := r.makeAnew(); err != nil {
		return fmt.Errorf("%s was removed while in use, and cannot be made again: %w; %s", r.path, err, ends)
	}
	return fmt.Errorf("%s was removed while in use; it was made again, with all counts; leave the state directory alone", r.path)
}

// makeAnew writes the file again and maps that one. mu is held.
func (r *Received) makeAnew() error {
	text := make([]byte, 0, r.size)
	for _, p := range r.pieces {
		for i := range p.slots {
			s := &p.slots[i]
			s.mu.Lock()
			text = append(text, s.mem[:]...)
			s.mu.Unlock()
		}
	}
	if err := durable.ReplaceFile(r.path, text, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, os.Remove(r.path))
	}
	var mems [][]byte
	var unmaps []func() error
	for _, p := range r.pieces {
		mem, unmap, err := r.mmap(f, p.slots[0].at, len(p.slots)*slotSize)
		if err != nil {
			for _, unmap := range unmaps {
				err = errors.Join(err, unmap())
			}
			return errors.Join(err, f.Close(), os.Remove(r.path))
		}
		mems, unmaps = append(mems, mem), append(unmaps, unmap)
	}
	for n, p := range r.pieces {
		for i := range p.slots {
			s := &p.slots[i]
			s.mu.Lock()
			to := (*[slotSize]byte)(mems[n][i*slotSize:])
			*to = *s.mem // more may have come since
			s.mem = to
			s.mu.Unlock()
		}
	}
	r.head = r.pieces[0].slots[0].mem
	old := r.file
	r.file = f
	for n := range r.pieces {
		err = errors.Join(err, r.pieces[n].unmap())
		r.pieces[n].unmap = unmaps[n]
	}
	return errors.Join(err, old.Close())
}
