package proto

import (
	"bytes"
	"testing"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	// The name is the same in all versions: the first 80 bits of SHA-256 in base32.
	name := ConversationName("ABCDEFGHIJKLMNOP", "4RQ2KXJ6C3O5M7W2ZTN6LHYBEA")
	if want := "V7D34IGBUWRGQF3Y"; name != want {
		t.Errorf("the name is %s, want %s", name, want)
	}
	if ConversationName("a", "bc") == ConversationName("ab", "c") || name == ConversationName("ABCDEFGHIJKLMNOP", "4") || name == ConversationName("A", "4RQ2KXJ6C3O5M7W2ZTN6LHYBEA") {
		t.Error("two conversations have one name")
	}
	for _, message := range []string{Ack, "", "a piece of a file\n", "#!-execd a b", string(AppendNamed(nil, "A", []byte("x")))} {
		named := AppendNamed(nil, name, []byte(message))
		kind, rest := ParseFromManager(named)
		got, inner, ok := ParseNamed(rest)
		if kind != ManagerNamed || !ok || got != name || !bytes.Equal(inner, []byte(message)) {
			t.Errorf("%q: %v, %q, %q, %t", named, kind, got, inner, ok)
		}
		if !OnlyManagersSay(named) || OnlyAgentsSay(named) {
			t.Errorf("%q can be an agent's", named)
		}
	}
	for _, bad := range []string{"", " x", "A", "a/b x", "A\nx"} {
		if kind, _ := ParseFromManager([]byte(Named + bad)); kind != ManagerOther {
			t.Errorf("%q is taken for %v", bad, kind)
		}
	}
}
