package keys

import (
	"errors"
	"fmt"
	"os"
)

// LoadOne reads the file of an agent, which has its one key line, or an export of it. What is wrong with the file and no
// reason to refuse it is in warnings.
func LoadOne(path string) (key Key, warnings []error, err error) {
	set, faults, err := Load(path)
	importIt := fmt.Sprintf("export this agent's key on the manager (ossecd keygen export ID) and import it here: ossecd keygen import - --keys %s", path)
	if errors.Is(err, os.ErrNotExist) {
		return key, nil, fmt.Errorf("%s: no such file; %s", path, importIt)
	}
	if err != nil {
		return key, nil, err
	}
	if len(set.Keys) == 0 && len(faults) > 0 {
		text, _ := os.ReadFile(path) // as long as Load reads
		if key, err := ParseExport(string(text)); err == nil {
			return key, nil, nil
		}
	}
	var bad []error
	for _, f := range faults {
		if f.Kept {
			warnings = append(warnings, f)
		} else {
			bad = append(bad, f)
		}
	}
	switch {
	case len(bad) > 0:
		return key, warnings, errors.Join(bad...)
	case len(set.Keys) == 0:
		return key, warnings, fmt.Errorf("%s: holds no key; %s", path, importIt)
	case len(set.Keys) > 1:
		return key, warnings, fmt.Errorf("%s: holds %d keys; an agent has one: leave only its own line, and no other agent's secret on this host", path, len(set.Keys))
	}
	return set.Keys[0], warnings, nil
}
