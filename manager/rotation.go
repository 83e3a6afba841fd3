package manager

import (
	"context"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/manager/listen"
	"ossecd/proto"
)

// A key is rotated in these steps, each on the disk of who makes it before the next begins (docs/decisions/rotation.md):
//
//	keygen   notes the next key                       old key: used      next key: known to keygen
//	manager  takes either; tells the agent the next              used               known to the manager
//	agent    puts the next into its keys file, uses it           ended              used
//	manager  puts the next into client.keys                      gone               used
//
// So whatever the agent has on its disk, the manager takes.

// spare is a key that an agent may use beside its own.
type spare struct {
	key    keys.Key
	cipher *proto.Cipher
	slot   *keys.Slot
}

// setSpare gives an agent the next key that is ordered for it, or none.
func (m *manager) setSpare(a *agent, next keys.Key, rotating bool) error {
	have := a.spare.Load()
	switch {
	case !rotating:
		if have != nil {
			a.setSpareTo(nil)
		}
		return nil
	case have != nil && have.key == next:
		return nil
	}
	// The order must not be undone by a power cut once the agent has the key.
	if err := durable.SyncDir(filepath.Dir(keys.NotesPath(m.cfg.Keys))); err != nil {
		return err
	}
	slot, err := m.received.Slot(next.ID, next.Secret, "", proto.Counter{})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.before = max(a.before, slot.Highest()) // an earlier run may have taken messages under it
	a.mu.Unlock()
	a.setSpareTo(&spare{next, proto.NewCipher(next.CipherKey()), slot})
	return nil
}

// setSpareTo puts another next key in place of the one before. If the agent had used that, its own is good again.
func (a *agent) setSpareTo(s *spare) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spare.Store(s)
	a.uses = nil
}

// goOnUsing has an agent whose line was changed go on with its next key if it had used that before. Its own has ended then.
func (a *agent) goOnUsing(was *agent) {
	was.mu.Lock()
	uses := was.uses
	was.mu.Unlock()
	if s := a.spare.Load(); uses != nil && s != nil && s.key.Secret == uses.key.Secret {
		a.mu.Lock()
		a.uses = s
		a.mu.Unlock()
	}
}

// tookUp says that k is the next key of the agent.
func (a *agent) tookUp(k keys.Key) bool {
	s := a.spare.Load()
	return s != nil && s.key == k
}

// goOn has an agent with a new key go on where it was with the old one.
func (a *agent) goOn(was *agent) {
	was.mu.Lock()
	defer was.mu.Unlock()
	a.method, a.dialect, a.ours, a.takes, a.talk, a.json = was.method, was.dialect, was.ours, was.takes, was.talk, was.json
	if was.back != nil {
		a.answerTo(*was.back)
	}
	a.before, a.first, a.life = was.before, was.first, was.life
	a.life.watched = time.Time{} // that was the other one
	a.slot.SetConnected(a.life.state == connected)
	a.slot.SetInterval(a.life.interval())
	a.slot.SetConverses(was.slot.Converses())
}

// inUse is the cipher of the agent's last fresh message. a.mu is held.
func (a *agent) inUse() *proto.Cipher {
	if a.uses != nil {
		return a.uses.cipher
	}
	return a.cipher
}

// offerKey tells an agent its next key, if it has one, has not used it yet, and can take it. a.mu is held.
func (r *receiver) offerKey(a *agent) {
	if s := a.spare.Load(); s != nil && a.takes && a.uses == nil {
		r.voice.say(a, []byte(proto.NewKey+s.key.Line()))
	}
}

// useSpare notes that an agent uses its next key. That ends its own. a.mu is held.
func (m *manager) useSpare(a *agent, s *spare) {
	a.uses = s
	a.twins, a.taught = nil, 0 // counts of another row
	m.used.add(s.key)
}

// used are next keys that agents have used, until they are in the keys file.
type used struct {
	mu   sync.Mutex
	keys map[string]keys.Key // by ID
	kick chan struct{}
}

func (u *used) add(k keys.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[string]keys.Key)
	}
	u.keys[k.ID] = k
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// take is what add was told since the last call.
func (u *used) take() map[string]keys.Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.keys
	u.keys = nil
	return all
}

// promote makes next keys that were used the keys of their agents, until ctx ends.
func (m *manager) promote(ctx context.Context) {
	retry := time.NewTicker(restEvery)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.used.kick:
		case <-retry.C:
		}
		all := m.used.take()
		if len(all) == 0 {
			continue
		}
		if err := m.promoteAll(ctx, all); err != nil && ctx.Err() == nil {
			m.limited.Error("the new keys of agents are not in the keys file; it is tried again, and until then a start of the manager would take the old ones, too", "err", err)
			for _, k := range all {
				m.used.add(k)
			}
			select { // add has kicked
			case <-ctx.Done():
			case <-retry.C:
			}
		}
	}
}

func (m *manager) promoteAll(ctx context.Context, all map[string]keys.Key) error {
	ctx, cancel := context.WithTimeout(ctx, promoteWithin)
	defer cancel()
	err := keys.Edit(ctx, m.cfg.Keys, func(f *keys.File) error {
		for _, k := range all {
			if _, living := f.Set().ByID(k.ID); !living {
				continue // removed meanwhile
			}
			if err := f.Promote(k); err != nil {
				m.limited.Error("an agent uses a key that is no longer its next", "err", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.takeUpNow()
	for _, k := range all {
		m.log.Info("an agent uses its new key; the old one has ended", "agent", k.ID, "name", k.Name)
	}
	return nil
}

// keepGone keeps the agents that were removed since we run, to tell them.
func (r *roster) keepGone(old *roster) {
	r.gone = make(map[string]*agent)
	keep := func(a *agent) {
		if len(r.gone) >= maxGone || r.byID[a.key.ID] != nil {
			return
		}
		r.gone[a.key.ID] = a
		if ip, ok := a.key.Address.Single(); ok {
			r.gone[ip.String()] = a
		}
	}
	for id, a := range old.byID {
		if r.byID[id] == nil {
			keep(a)
		}
	}
	for _, a := range old.gone {
		keep(a)
	}
}

// sayRemoved tells agents of ours that were just removed, where they are there, under the keys that they had.
func (m *manager) sayRemoved(gone []*agent) {
	if len(gone) == 0 {
		return
	}
	v, err := m.newVoice()
	if err != nil {
		m.limited.Error("removed agents are told only when they send something", "err", err)
		return
	}
	for _, a := range gone {
		a.mu.Lock()
		if a.ours && a.life.state == connected && a.back != nil {
			v.say(a, []byte(proto.Removed))
		}
		a.mu.Unlock()
	}
}

// farewell tells an agent of ours that was removed, and speaks again, so that its log says why nobody answers. Only a startup or a keepalive that an
// ossecd marked is answered: another program may use the key by now. Who repeats what it sent gets no answer. It says whether the agent was told.
func (r *receiver) farewell(f proto.Frame, from netip.AddrPort, to netip.Addr, now time.Time) bool {
	gone := r.m.roster.Load().gone
	if len(gone) == 0 {
		return false
	}
	who := string(f.ID)
	if f.ID == nil {
		who = from.Addr().WithZone("").String()
	}
	a := gone[who]
	if a == nil || !a.key.Address.Contains(from.Addr()) {
		return false
	}
	message, err := r.opener.Open(a.cipher, f, a.knownDialect())
	if err != nil || !proto.IsControl(message.Payload) || proto.OnlyManagersSay(message.Payload) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	talk := ""
	switch kind, rest := proto.ParseFromAgent(message.Payload); kind {
	case proto.AgentStartup:
		if message.Random != a.cipher.StartupRandom(message.Counter) {
			return false
		}
	case proto.AgentKeepalive:
		k, err := proto.ParseKeepalive(rest)
		if err != nil || !isOssecd(&k) {
			return false
		}
		talk = r.m.talkWith(&k)
	default:
		return false
	}
	if a.slot.Accept(message.Counter.Value()) != proto.Fresh {
		return false
	}
	a.talk = talk
	a.uses, a.method = nil, message.Method
	a.answerTo(listen.ReturnPath{Conn: r.conn, To: from, From: to})
	r.voice.say(a, []byte(proto.Removed))
	if a.mayLog(saidGoodbye, now) {
		r.log.Info("a removed agent was told that it is removed", "agent", a.key.ID, "name", a.key.Name, "source", from.String())
	}
	return true
}
