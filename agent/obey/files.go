package obey

import (
	"ossecd/agent/conversation"
	"ossecd/agent/shared"
	"ossecd/proto"
)

// files puts pushed files together and has them stored.
type files struct {
	env
	store   *shared.Store // belongs to the one goroutine that stores a file
	stored  func()        // may be nil
	budget  *budget
	push    shared.Push
	last    uint64 // the count of the last message of a push
	sums    shared.Sums
	storing bool // a file is being stored, or the result is not taken yet
}

func (f *files) begin() {
	f.push.Spoil()
	f.last = 0
}

// take takes a message of a file push. The pieces have no numbers but their counts: one that was overtaken
// by a later one would end up in the wrong place, so it spoils the file, and the manager pushes it again.
func (f *files) take(m conversation.Message) {
	if m.Count < f.last {
		f.push.Spoil()
		return
	}
	f.last = m.Count
	switch m.Kind {
	case proto.ManagerUpFile:
		sum, name, err := proto.ParseUpFile(m.Rest)
		if err != nil {
			f.push.Spoil()
			f.limited.Warn("a pushed file was refused", "err", err, "announced", sample(m.Rest), "remedy", "look at the shared files on the manager")
			return
		}
		if !f.budget.allows(f.limited) {
			f.push.Spoil()
			return
		}
		f.push.Begin(sum, name)
	case proto.ManagerChunk:
		if !f.push.Chunk(m.Rest) {
			f.limited.Warn("a piece of a shared file was ignored: its beginning is missing", "remedy", "none needed: the manager pushes the file again")
		}
	case proto.ManagerCloseFile:
		name, data, err := f.push.End()
		switch {
		case err != nil:
			f.limited.Warn("a pushed file was discarded", "file", name, "err", err, "remedy", "none needed at first: the manager pushes it again after the next keepalive. If it happens again, check the shared files on the manager, and the network for lost datagrams")
		case f.storing:
			f.limited.Warn("a pushed file was discarded", "file", name, "remedy", "none needed: the one before is still being stored, and the manager pushes this one again")
		default:
			f.put(name, data)
		}
	}
}

// put stores a pushed file.
func (f *files) put(name string, data []byte) {
	f.storing = true
	f.start(func() func() {
		refused, err := f.store.Put(name, data)
		sums := f.store.Sums()
		return func() {
			f.storing, f.sums = false, sums
			if len(refused) > 0 {
				f.limited.Warn("shared files with unsafe names were left out", "count", len(refused), "first", sample([]byte(refused[0])), "remedy", "give them plain names on the manager")
			}
			if err != nil {
				f.limited.Warn("a pushed file was not stored", "file", name, "err", err)
				return
			}
			f.log.Info("shared file stored", "file", name, "bytes", len(data))
			if f.stored != nil {
				f.stored()
			}
		}
	})
}
