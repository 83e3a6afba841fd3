package setting

import "testing"

func TestInstead(t *testing.T) {
	t.Parallel()
	syslog := []string{"listen", "allow", "protocol", "idle_timeout", "allow"}
	for _, test := range []struct{ word, want string }{
		{"lisen", `did you mean "listen"?`},
		{"protocl", `did you mean "protocol"?`},
		{"network", `use "allow", "idle_timeout", "listen", "protocol"`},
		{"x", `use "allow", "idle_timeout", "listen", "protocol"`},
		{"", `use "allow", "idle_timeout", "listen", "protocol"`},
	} {
		if got := Instead(test.word, syslog, `"`, `"`); got != test.want {
			t.Errorf("%q: got %s, want %s", test.word, got, test.want)
		}
	}
	if got, ok := Close("x", nil); ok {
		t.Errorf("nothing is known, and %q is close", got)
	}
}
