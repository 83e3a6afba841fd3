// Package named finds the agent that somebody means: by its ID, by its name, or by the ID without leading zeros.
package named

import (
	"fmt"
	"slices"
	"strings"

	"ossecd/keys"
	"ossecd/keys/setting"
)

// maxShown bounds the agents that an error lists.
const maxShown = 10

// Check says whether text can name an agent: an ID, or a name.
func Check(text string) error {
	err := keys.CheckID(text)
	if err != nil && strings.Trim(text, "0") != "" && keys.CheckName(text) == nil {
		return nil
	}
	return err
}

// Find is the one agent that text names: its ID, its name, or its ID without the zeros in front. An ID as it stands goes
// before the others.
func Find(set *keys.Set, text, path string) (keys.Key, error) {
	if k, ok := set.ByID(text); ok {
		return k, nil
	}
	var found []keys.Key
	for _, k := range set.Keys {
		if k.Name == text || keys.CheckID(text) == nil && bare(k.ID) == bare(text) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return keys.Key{}, fmt.Errorf("%q is ambiguous in %s: %s; give the whole ID", text, path, listed(found))
	case slices.ContainsFunc(set.Removed, func(id string) bool { return bare(id) == bare(text) }):
		return keys.Key{}, fmt.Errorf("%w: %q was removed from %s; ossecd keygen list shows the others", keys.ErrNoAgent, text, path)
	case len(set.Keys) == 0:
		return keys.Key{}, fmt.Errorf("%w: %q is not in %s, which has no agents; ossecd keygen add NAME makes one", keys.ErrNoAgent, text, path)
	}
	var names []string
	for _, k := range set.Keys {
		names = append(names, k.Name)
	}
	if best, ok := setting.Close(text, names); ok {
		return keys.Key{}, fmt.Errorf("%w: %q is not in %s; did you mean %s?", keys.ErrNoAgent, text, path, best)
	}
	return keys.Key{}, fmt.Errorf("%w: %q is not in %s, which has %s", keys.ErrNoAgent, text, path, listed(set.Keys))
}

func bare(id string) string { return strings.TrimLeft(id, "0") }

// listed names some agents.
func listed(all []keys.Key) string {
	var names []string
	for _, k := range all[:min(len(all), maxShown)] {
		names = append(names, k.ID+" "+k.Name)
	}
	text := strings.Join(names, ", ")
	if more := len(all) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more (ossecd keygen list shows all)", more)
	}
	return text
}
