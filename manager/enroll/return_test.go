package enroll

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/keys/tokens"
	"ossecd/proto"
)

// given is the key that a request is answered with.
func (r *rig) given(request, fields string) keys.Key {
	r.t.Helper()
	line, err := proto.ParseEnrollAnswer([]byte(r.ask(request)), true)
	if err != nil {
		r.t.Fatalf("%q: %v", request, err)
	}
	k, err := keys.ParseLine(line)
	if err != nil || k.String() != fields || !strings.Contains(r.keysFile(), k.ID+" "+k.Name+" ") {
		r.t.Errorf("%q: got %s, %v; want %s", request, k, err, fields)
	}
	return k
}

// An agent that is made anew, and shows the token that it enrolled with or the sum of its key, gets its key back.
func TestReturn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	mine := addToken(t, file, tokens.Token{Uses: 3, Names: "web*"})
	other := addToken(t, file, tokens.Token{Uses: tokens.Unlimited, Names: "*"})
	once := addToken(t, file, tokens.Token{Uses: 1, Names: "db*"})
	r := newRig(t, func(c *Config) { c.Tokens, c.Duplicates = file, "return" })
	first := r.wantKey("OSSEC PASS: "+mine+" OSSEC A:'web01'", "001 web01 any")
	if again := r.given("OSSEC PASS: "+mine+" OSSEC A:'web01'", "001 web01 any"); again != first {
		t.Error("it got another key")
	}
	r.wantRefusal("OSSEC PASS: "+other+" OSSEC A:'web01'", "Duplicate agent name: web01")
	r.wantKey("OSSEC PASS: "+mine+" OSSEC A:'web02'", "002 web02 any")
	r.wantRefusal("OSSEC PASS: "+mine+" OSSEC A:'web01'", "Invalid password: the token is used up") // each time costs a use
	r.wantKey("OSSEC PASS: "+once+" OSSEC A:'db01'", "003 db01 any")
	r.wantRefusal("OSSEC PASS: "+once+" OSSEC A:'db01'", "Invalid password: the token is used up")

	if again := r.given("OSSEC PASS: "+other+" OSSEC A:'web01' V:'v4.14.5' K:'"+keySum(first)+"'", "001 web01 any"); again != first {
		t.Error("who knows the key got another one")
	}
	r.wantRefusal("OSSEC PASS: "+other+" OSSEC A:'web01' V:'v4.14.5' K:'"+strings.Repeat("0", 40)+"'", "Duplicate agent name: web01")
	moved := r.given("OSSEC PASS: "+other+" OSSEC A:'web01' V:'v4.14.5' IP:'10.1.0.0/16' K:'"+strings.ToUpper(keySum(first))+"'", "001 web01 10.1.0.0/16")
	if moved.Secret != first.Secret {
		t.Error("with another address it got another key")
	}
	if n := strings.Count(r.keysFile(), "\n"); n != 3 {
		t.Errorf("%d agents, want 3:\n%s", n, r.keysFile())
	}
	r.waitLog(`msg="agent enrolled again, and got its key back" agent=001 name=web01`)
}

// While a key is rotated the next one is given: the agent may have had it.
func TestReturnWhileRotating(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	token := addToken(t, file, tokens.Token{Uses: tokens.Unlimited, Names: "*"})
	r := newRig(t, func(c *Config) { c.Tokens, c.Duplicates = file, "return,number" })
	r.wantKey("OSSEC PASS: "+token+" OSSEC A:'web01'", "001 web01 any")
	var next keys.Key
	err := keys.Edit(t.Context(), r.cfg.Keys, func(f *keys.File) (err error) {
		next, _, err = f.Rotate("001", time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.given("OSSEC PASS: "+token+" OSSEC A:'web01'", "001 web01 any"); got != next {
		t.Error("it got another key than its next")
	}
}

// Without the policy nothing is given back, whatever is shown.
func TestNoReturn(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"refuse": "", "number": "002 web012 any"} {
		file := filepath.Join(t.TempDir(), "tokens")
		token := addToken(t, file, tokens.Token{Uses: tokens.Unlimited, Names: "*"})
		r := newRig(t, func(c *Config) { c.Tokens, c.Duplicates = file, policy })
		r.wantKey("OSSEC PASS: "+token+" OSSEC A:'web01'", "001 web01 any")
		if want == "" {
			r.wantRefusal("OSSEC PASS: "+token+" OSSEC A:'web01'", "Duplicate agent name: web01")
			continue
		}
		r.wantKey("OSSEC PASS: "+token+" OSSEC A:'web01'", want)
		r.waitLog("asked_for=web01")
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"": true, "return": true, "return,refuse": true, "return,number": true, "return,replace-after=1h": true,
		"return,": false, "returned": false, "number,return": false, "return,return": false, "return,replace-after=1s": false,
	} {
		c := Config{Listen: ":0", Duplicates: text}
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
