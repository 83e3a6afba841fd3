package keygen

import (
	"errors"
	"strings"
	"testing"

	"ossecd/keys"
)

// secret is any key.
const secret = " any 0123456789abcdef0123456789abcdef"

func TestAgentsAreNamed(t *testing.T) {
	t.Parallel()
	path := written(t, "001 web01"+secret+"\n002 db01"+secret+"\n012 mail"+secret+"\n05 five"+secret+"\n005 cinq"+secret+"\n020 dup"+secret+"\n0020 12"+secret)
	for text, id := range map[string]string{"web01": "001", "1": "001", "0002": "002", "db01": "002", "012": "012", "05": "05", "005": "005", "mail": "012"} {
		for _, command := range []string{"show", "export", "group"} {
			out, _, err := run(t, path, "", command, text, "--json", "--keys", "{keys}")
			if err != nil || !strings.Contains(out, `"id":"`+id+`"`) {
				t.Errorf("%s %s: got %q, %v, want agent %s", command, text, out, err, id)
			}
		}
	}
	for text, want := range map[string]string{
		"5": "05 five, 005 cinq; give the whole ID", "12": "012 mail, 0020 12", "20": "ambiguous", "maill": "did you mean mail?", "77": "which has 001 web01, 002 db01, ",
	} {
		for _, command := range []string{"show", "remove", "export", "rotate"} {
			if _, _, err := run(t, path, "", command, text, "--keys", "{keys}"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got %v, want %q", command, text, err, want)
			}
		}
	}
	for _, args := range [][]string{{"rename", "web01", "web02"}, {"set-ip", "web02", "192.0.2.1"}, {"rotate", "1"}, {"remove", "web02"}, {"remove", "2"}} {
		if _, _, err := run(t, path, "", append(args, "--keys", "{keys}")...); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, _, err := run(t, path, "", "show", "1", "--keys", "{keys}"); !errors.Is(err, keys.ErrNoAgent) || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("got %v of a removed agent", err)
	}
	if text := read(t, path); strings.Contains(text, "web") || strings.Contains(text, "db01") || !strings.Contains(text, "mail") {
		t.Errorf("the file has %s", text)
	}
}
