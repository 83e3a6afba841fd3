package keys

import (
	"net/netip"
	"strconv"
)

// taken is what the lines of a File use up. It makes adding many keys in one Edit cheap.
type taken struct {
	lines   map[string]int        // index of the first line with an ID, good or faulty or removed
	names   map[string]string     // ID by name, of living agents
	addrs   map[netip.Addr]string // ID by single address, likewise
	highest int                   // ID
}

// use is what is taken at present.
func (f *File) use() *taken {
	if f.taken != nil {
		return f.taken
	}
	t := &taken{
		lines: make(map[string]int, len(f.lines)),
		names: make(map[string]string, len(f.set.Keys)),
		addrs: make(map[netip.Addr]string),
	}
	for i, line := range f.lines {
		if id := lineID(line); id != "" {
			t.line(id, i)
		}
	}
	for _, k := range f.set.Keys {
		t.key(k)
	}
	f.taken = t
	return t
}

func (t *taken) line(id string, i int) {
	if _, has := t.lines[id]; !has {
		t.lines[id] = i
	}
	if n, err := strconv.Atoi(id); err == nil {
		t.highest = max(t.highest, n)
	}
}

func (t *taken) key(k Key) {
	if _, has := t.names[k.Name]; !has {
		t.names[k.Name] = k.ID
	}
	if ip, single := k.Address.Single(); single {
		t.addrs[ip] = k.ID
	}
}

// Named finds the living agent of that name; the first where several have it.
func (f *File) Named(name string) (Key, bool) { return f.set.ByID(f.use().names[name]) }

// At finds the living agent with that single address.
func (f *File) At(ip netip.Addr) (Key, bool) { return f.set.ByID(f.use().addrs[ip]) }
