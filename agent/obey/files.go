package obey

import (
	"ossecd/agent/conversation"
	"ossecd/agent/shared"
	"ossecd/proto"
)

// Sums are those of the shared files as they are stored.
func (o *Orders) Sums() shared.Sums { return o.sums }

// pushPart takes a message of a file push. The pieces have no numbers but their counts: one that was overtaken
// by a later one would end up in the wrong place, so it spoils the file, and the manager pushes it again.
func (o *Orders) pushPart(m conversation.Message) {
	if m.Count < o.pushed {
		o.push.Spoil()
		return
	}
	o.pushed = m.Count
	switch m.Kind {
	case proto.ManagerUpFile:
		sum, name, err := proto.ParseUpFile(m.Rest)
		if err != nil {
			o.push.Spoil()
			o.limited.Warn("a pushed file was refused", "err", err, "announced", sample(m.Rest), "remedy", "look at the shared files on the manager")
			return
		}
		if !o.may(toStoreFile) {
			o.push.Spoil()
			return
		}
		o.push.Begin(sum, name)
	case proto.ManagerChunk:
		if !o.push.Chunk(m.Rest) {
			o.limited.Warn("a piece of a shared file was ignored: its beginning is missing", "remedy", "none needed: the manager pushes the file again")
		}
	case proto.ManagerCloseFile:
		name, data, err := o.push.End()
		switch {
		case err != nil:
			o.limited.Warn("a pushed file was discarded", "file", name, "err", err, "remedy", "none needed at first: the manager pushes it again after the next keepalive. If it happens again, check the shared files on the manager, and the network for lost datagrams")
		case o.storing:
			o.limited.Warn("a pushed file was discarded", "file", name, "remedy", "none needed: the one before is still being stored, and the manager pushes this one again")
		default:
			o.store(name, data)
		}
	}
}

// store stores a pushed file.
func (o *Orders) store(name string, data []byte) {
	o.storing = true
	o.running.Go(func() {
		refused, err := o.cfg.Shared.Put(name, data)
		sums := o.cfg.Shared.Sums()
		o.results <- func() {
			o.storing, o.sums = false, sums
			if len(refused) > 0 {
				o.limited.Warn("shared files with unsafe names were left out", "count", len(refused), "first", sample([]byte(refused[0])), "remedy", "give them plain names on the manager")
			}
			if err != nil {
				o.limited.Warn("a pushed file was not stored", "file", name, "err", err)
				return
			}
			o.log.Info("shared file stored", "file", name, "bytes", len(data))
			if o.cfg.Stored != nil {
				o.cfg.Stored()
			}
		}
	})
}
