package obey

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
)

// keyWithin bounds the wait for the keys file while another process holds it.
const keyWithin = 5 * time.Second

// keyChange takes up new keys.
type keyChange struct {
	env
	cfg    Config // of which Key is the present one
	budget *budget
	busy   bool // a key is being written, or the result is not taken yet
}

// obey puts the key that the manager ordered into the keys file, and has it used from then on. The manager takes the old key as long as it
// has not heard us under the new one; so a kill at any time leaves a key in the file that it takes.
func (k *keyChange) obey(line []byte) {
	refuse := func(why string) {
		k.limited.Warn("a new key was refused", "err", why, "remedy", "look at this agent's line on the manager; if its name or address was changed there, export it and import it here")
	}
	if !k.cfg.TakesKey {
		refuse("it was not asked for")
		return
	}
	key, err := keys.ParseLine(string(line))
	old := k.cfg.Key
	switch {
	case err != nil:
		refuse(err.Error())
		return
	case key == old || k.busy:
		return // it was told twice
	case key.ID != old.ID || key.Name != old.Name || key.Address != old.Address:
		refuse(fmt.Sprintf("it is for %s, and we are %s", key, old))
		return
	}
	if !k.budget.allows(k.limited) {
		return
	}
	k.busy = true
	k.start(func() func() {
		use, err := k.cfg.UseKey(key)
		if err == nil {
			err = replaceKey(k.cfg.Keys, old, key)
		}
		return func() {
			k.busy = false
			if err != nil {
				k.limited.Warn("a new key was not saved", "err", err, "remedy", "let this user write the keys file, or free space on the disk; ossecd tries again after the next keepalive")
				return
			}
			k.cfg.Key = key
			k.log.Info("a new key is in use, as the manager ordered", "keys", k.cfg.Keys)
			use()
		}
	})
}

// replaceKey puts a key in place of old in the keys file. A file that has another key by now, or none, stays as it is: somebody
// has changed it on purpose.
func replaceKey(path string, old, key keys.Key) error {
	ctx, cancel := context.WithTimeout(context.Background(), keyWithin)
	defer cancel()
	unlock, err := durable.LockFile(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	switch now, _, err := keys.LoadOne(path); {
	case err != nil:
		return err
	case now == key:
		return durable.SyncDir(filepath.Dir(path)) // it was written before, and that it lasts was not sure
	case now != old:
		return fmt.Errorf("%s was changed since ossecd read it; %s is in use until the agent is restarted", path, old)
	}
	return durable.ReplaceFile(path, []byte(key.Line()+"\n"), 0o600)
}
