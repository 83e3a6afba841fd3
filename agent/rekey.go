package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/proto"
)

// rekeyWithin bounds the wait for the keys file while another process holds it.
const rekeyWithin = 5 * time.Second

// rekey puts a new key, which the manager ordered, into the keys file, so that the session need not wait for the disk. From
// then on the session uses it. The manager takes the old key as long as it has not heard us under the new one; so a kill at any time leaves
// a key in the file that it takes.
type rekey struct {
	done    chan rekeyed // has room for the result of the one job
	busy    bool
	running sync.WaitGroup
}

// rekeyed is what became of it.
type rekeyed struct {
	key  keys.Key
	next *nextKey
	err  error
}

// nextKey is what is made of a key for receiving.
type nextKey struct {
	cipher *proto.Cipher
	slot   *keys.Slot
}

// mayTakeKey says whether a new key can be taken up: it must be kept, and known to the only manager.
func (c *Config) mayTakeKey() bool {
	return len(c.Managers) == 1 && c.KeyText == "" && durable.CanReplace(c.Keys) == nil
}

// takeKey begins to take up the key that the manager ordered.
func (s *session) takeKey(line []byte) {
	refuse := func(why string) {
		s.limited.Warn("a new key was refused", "err", why, "remedy", "look at this agent's line on the manager; if its name or address was changed there, export it and import it here")
	}
	if !s.about.takes {
		refuse("it was not asked for")
		return
	}
	key, err := keys.ParseLine(string(line))
	switch {
	case err != nil:
		refuse(err.Error())
		return
	case key == s.key || s.rekey.busy:
		return // it was told twice
	case key.ID != s.key.ID || key.Name != s.key.Name || key.Address != s.key.Address:
		refuse(fmt.Sprintf("it is for %s, and we are %s", key, s.key))
		return
	}
	if !s.mayObey(toTakeKey) {
		return
	}
	s.rekey.busy = true
	old := s.key
	s.rekey.running.Go(func() {
		r := rekeyed{key: key, next: &nextKey{cipher: proto.NewCipher(key.CipherKey())}}
		if r.next.slot, r.err = s.counts.received.Slot(key.ID, key.Secret, s.managers[0], proto.Counter{}); r.err == nil {
			r.err = replaceKey(s.cfg.Keys, old, key)
		}
		s.rekey.done <- r
	})
}

// replaceKey puts a key in place of old in the keys file. A file that has another key by now, or none, stays as it is: somebody
// has changed it on purpose.
func replaceKey(path string, old, key keys.Key) error {
	ctx, cancel := context.WithTimeout(context.Background(), rekeyWithin)
	defer cancel()
	unlock, err := durable.LockFile(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	switch now, _, err := loadKey(path); {
	case err != nil:
		return err
	case now == key:
		return durable.SyncDir(filepath.Dir(path)) // it was written before, and that it lasts was not sure
	case now != old:
		return fmt.Errorf("%s was changed since we read it; %s is in use until the agent is started anew", path, old)
	}
	return durable.ReplaceFile(path, []byte(key.Line()+"\n"), 0o600)
}

// useKey goes over to a key that is in the keys file.
func (s *session) useKey(r rekeyed) {
	s.rekey.busy = false
	if r.err != nil {
		s.limited.Warn("a new key was not taken up", "err", r.err, "remedy", "make the keys file writable for this user, or free space; after the next keepalive it is tried again")
		return
	}
	s.key = r.key
	s.counts.use(r.next.slot)
	s.sealed.cipher = r.next.cipher
	if s.recv != nil {
		s.recv.next.Store(r.next)
	}
	s.log.Info("a new key is in use, as the manager ordered", "keys", s.cfg.Keys)
	if s.state == online {
		s.ask(time.Now())
	}
}

// wait waits for a file that is being written.
func (r *rekey) wait() { r.running.Wait() }
