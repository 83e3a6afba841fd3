package enroll

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/keys/tokens"
)

const testSecret = "6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"

// withKeys starts a server with keys in its file.
func withKeys(t *testing.T, lines string, change func(*Config)) *rig {
	return newRig(t, func(c *Config) {
		if err := os.WriteFile(c.Keys, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(c)
		}
	})
}

func TestForms(t *testing.T) {
	t.Parallel()
	r := withKeys(t, "007 old any "+testSecret+"\n", nil)
	r.wantKey("OSSEC A:'web01'", "008 web01 any")
	if answer := r.ask("OSSEC A:'web02'"); !strings.HasSuffix(answer, "'\n\n") {
		t.Errorf("OSSEC's form: got %q", answer)
	}
	if answer := r.ask("OSSEC A:'web03' V:'v4.14.5' G:'a,b'"); !strings.HasSuffix(answer, "'") {
		t.Errorf("Wazuh's form: got %q", answer)
	}
	r.wantKey("OSSEC A:'web04' V:'v4.14.5' IP:'10.0.0.0/8'", "011 web04 10.0.0.0/8")
	r.wantKey("OSSEC A:'web05' V:'v4.14.5' IP:'src'", "012 web05 127.0.0.1")
	r.wantKey("OSSEC A:'web06' IP:'any'", "013 web06 any")
	r.wantKey("OSSEC PASS: not asked for OSSEC A:'web07'", "014 web07 any")
	r.waitLog(`msg="agent enrolled" agent=010 name=web03 address=any source=127.0.0.1 groups=a,b`)
	r.waitLog("whoever reaches the enrolment port gets a key")
	if n := len(r.takenUp); n != 7 {
		t.Errorf("keys were taken up %d times, want 7", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := withKeys(t, "001 web01 192.0.2.7 "+testSecret+"\n", func(c *Config) { c.Names = "web*" })
	for _, tt := range []struct{ request, text string }{
		{"OSSEC A:'x'", "Invalid agent name: x"},
		{"OSSEC A:''", "Invalid agent name: "},
		{"OSSEC A:'web 2'", "Invalid agent name: web 2"},
		{"OSSEC A:'web/../2' V:'v4.14.5'", "Invalid agent name: web/../2"},
		{"OSSEC A:'web\"$(id)'", "Invalid agent name: web\"$(id)"},
		{"OSSEC A:'web\xff'", "Invalid agent name: web\uFFFD"},
		{"OSSEC A:'#web'", "Invalid agent name: #web"},
		{"OSSEC A:'db01'", "Invalid agent name: db01"},
		{"OSSEC A:'web01'", "Duplicate agent name: web01"},
		{"OSSEC A:'web01' V:'v4.14.5'", "Duplicate agent name: web01"},
		{"OSSEC A:'web02' IP:'192.0.2.7'", "Duplicate IP: 192.0.2.7"},
		{"OSSEC A:'web02' V:'v4.14.5' IP:'192.0.2.7/32'", "Duplicate IP: 192.0.2.7/32"},
		{"OSSEC A:'web02' IP:'nowhere'", "Invalid IP: nowhere"},
		{"OSSEC A:'web02' IP:'!10.0.0.0/8'", "Invalid IP: !10.0.0.0/8"},
		{"OSSEC A:'web02' IP:'10.0.0.1 x'", "Invalid IP: 10.0.0.1 x"},
		{"OSSEC A:'web02", "Invalid request for new agent"},
		{"GET / HTTP/1.1\r", "Invalid request for new agent"},
		{"", "Invalid request for new agent"},
		{"OSSEC A:'web\x00'", "Invalid request for new agent"},
		{"OSSEC A:'web02' G:'\x1b[2J'", "Invalid request for new agent"},
		{"OSSEC A:'web02' V:'v4.14.5' G:'a,../b'", "Invalid group name: a,../b"},
	} {
		r.wantRefusal(tt.request, tt.text)
	}
	r.wantKey("OSSEC A:'web02'", "002 web02 any")
	for _, text := range []string{"\x1b", "\x00", testSecret} {
		if strings.Contains(r.logs.String(), text) {
			t.Errorf("the log has %q:\n%s", text, r.logs.String())
		}
	}
	// One line for each reason, and the counts at the end.
	if n := strings.Count(r.logs.String(), `reason="invalid name"`); n != 1 {
		t.Errorf("%d lines about invalid names:\n%s", n, r.logs.String())
	}
	r.stop()
	r.waitLog(`"malformed request"=5 "invalid name"=7 "name not accepted"=1 "duplicate name"=2 "invalid address"=3 "duplicate address"=2 "invalid group"=1`)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "password", "sesame 1\nsecond line\n")
	r := newRig(t, func(c *Config) { c.PasswordFile = path })
	r.wantKey("OSSEC PASS: sesame 1\n OSSEC A:'web01'", "001 web01 any") // as stock agents send what is in a file
	for _, password := range []string{"", "OSSEC PASS:  ", "OSSEC PASS: sesame ", "OSSEC PASS: sesame 11 ", "OSSEC PASS: Sesame 1 ", "OSSEC PASS: second line "} {
		r.wantRefusal(password+"OSSEC A:'web02'", "Invalid password")
	}
	// A new password counts at once; without one nobody is let in.
	if err := os.WriteFile(path, []byte("other\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.wantKey("OSSEC PASS: other OSSEC A:'web02' V:'v4.14.5'", "002 web02 any")
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.wantRefusal("OSSEC A:'web03'", "Internal manager error adding agent: web03")
	r.waitLog("the first line of " + path)
	if strings.Contains(r.logs.String(), "sesame") || strings.Contains(r.logs.String(), "whoever reaches") {
		t.Errorf("the log tells too much:\n%s", r.logs.String())
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	r := newRig(t, func(c *Config) {
		c.Tokens, c.PasswordFile = path, writeFile(t, "password", "sesame")
	})
	r.wantRefusal("OSSEC PASS: "+tokens.New("").Password()+" OSSEC A:'web01'", "Invalid password") // there is no file yet
	twice := addToken(t, path, tokens.Token{Uses: 2, Names: "web*"})
	r.wantRefusal("OSSEC PASS: "+twice+" OSSEC A:'db01'", "Invalid password: the token is for other names: db01")
	r.wantRefusal("OSSEC PASS: "+twice+" OSSEC A:'web 1'", "Invalid agent name: web 1")
	r.wantKey("OSSEC PASS: "+twice+" OSSEC A:'web01'", "001 web01 any")
	r.wantRefusal("OSSEC PASS: "+twice+" OSSEC A:'web01'", "Duplicate agent name: web01") // which spends nothing
	r.wantKey("OSSEC PASS: "+twice+"_0\n OSSEC A:'web02' V:'v4.14.5'", "002 web02 any")
	r.wantRefusal("OSSEC PASS: "+twice+" OSSEC A:'web03'", "Invalid password: the token is used up")
	r.wantKey("OSSEC PASS: sesame OSSEC A:'web03'", "003 web03 any")

	past := addToken(t, path, tokens.Token{Uses: 1, Names: "*", Expires: time.Now().Add(-time.Second)})
	r.wantRefusal("OSSEC PASS: "+past+" OSSEC A:'web04'", "Invalid password: the token has expired")
	r.wantRefusal("OSSEC PASS: "+tokens.New("").Password()+" OSSEC A:'web04'", "Invalid password")
	r.wantRefusal("OSSEC A:'web04'", "Invalid password")
	forever := addToken(t, path, tokens.Token{Uses: tokens.Unlimited, Names: "*"})
	r.wantKey("OSSEC PASS: "+forever+" OSSEC A:'web04'", "004 web04 any")

	// A file that cannot be read honours nothing.
	if err := os.WriteFile(path, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.wantRefusal("OSSEC PASS: "+forever+" OSSEC A:'web05'", "Internal manager error adding agent: web05")
	r.waitLog("tokens:1: ")
	for _, secret := range []string{twice, past, forever} {
		if strings.Contains(r.logs.String(), secret[4:]) {
			t.Errorf("the log has a token:\n%s", r.logs.String())
		}
	}
}

// What an agent asks for as its groups is noted, unless its token says which.
func TestGroups(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	r := newRig(t, func(c *Config) { c.Tokens = path })
	free := addToken(t, path, tokens.Token{Uses: 3, Names: "*"})
	bound := addToken(t, path, tokens.Token{Uses: 1, Names: "*", Groups: "eu,web"})
	for _, tt := range []struct{ token, asked, want string }{
		{free, "", ""}, {free, "b,a,b", "a,b"}, {bound, "admins", "eu,web"},
	} {
		name := fmt.Sprintf("web-%d", len(tt.asked))
		k := r.wantKey(fmt.Sprintf("OSSEC PASS: %s OSSEC A:'%s' V:'v4.14.5' G:'%s'", tt.token, name, tt.asked), r.nextID()+" "+name+" any")
		notes, err := keys.LoadNotes(r.cfg.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(notes.Of(k).Groups, ","); got != tt.want {
			t.Errorf("asked for %q: got groups %q, want %q", tt.asked, got, tt.want)
		}
	}
	r.wantRefusal("OSSEC PASS: "+free+" OSSEC A:'web-9' V:'v4.14.5' G:'a b'", "Invalid group name: a b")
	r.wantKey("OSSEC PASS: "+free+" OSSEC A:'web-9'", r.nextID()+" web-9 any") // the refusal spent nothing
}

func TestNumberDuplicates(t *testing.T) {
	t.Parallel()
	r := withKeys(t, "001 web any "+testSecret+"\n002 web3 192.0.2.7 "+testSecret+"\n", func(c *Config) { c.Duplicates = "number" })
	r.wantKey("OSSEC A:'web'", "003 web2 any")
	r.wantKey("OSSEC A:'web' V:'v4.14.5'", "004 web4 any")
	r.wantRefusal("OSSEC A:'other' IP:'192.0.2.7'", "Duplicate IP: 192.0.2.7")
	r.wantRefusal("OSSEC A:'web' K:'"+keySum(keys.Key{ID: "001", Name: "web", Secret: testSecret})+"'", "Duplicate agent name: web")
	long := strings.Repeat("a", 128)
	r.wantKey("OSSEC A:'"+long+"'", "005 "+long+" any")
	r.wantRefusal("OSSEC A:'"+long+"'", "Duplicate agent name: "+long)
}

func TestReplaceDuplicates(t *testing.T) {
	t.Parallel()
	silence := map[string]time.Duration{"001": time.Hour, "002": time.Hour - 1, "003": 2 * time.Hour, "004": 0}
	lines := ""
	for _, l := range []string{"001 gone any", "002 nearly any", "003 fixed 192.0.2.7", "004 there 192.0.2.8", "005 new any"} {
		lines += l + " " + testSecret + "\n"
	}
	r := withKeys(t, lines, func(c *Config) {
		c.Duplicates = "replace-after=1h"
		c.Silence = func(id string) time.Duration { return silence[id] }
	})
	gone := keySum(keys.Key{ID: "001", Name: "gone", Secret: testSecret})
	if want := "82f0a526533d3e1c552262fbdb27cce5d508c334"; gone != want { // printf 001goneSECRET | sha1sum
		t.Errorf("a key's sum is %q, want %q", gone, want)
	}
	r.wantRefusal("OSSEC A:'gone' V:'v4.14.5' K:'"+strings.ToUpper(gone)+"'", "Duplicate agent name: gone")
	r.wantKey("OSSEC A:'gone' V:'v4.14.5' K:'"+strings.Repeat("0", 40)+"'", "006 gone any")
	r.wantRefusal("OSSEC A:'nearly'", "Duplicate agent name: nearly")
	r.wantRefusal("OSSEC A:'there'", "Duplicate agent name: there")
	r.wantRefusal("OSSEC A:'new'", "Duplicate agent name: new")
	r.wantRefusal("OSSEC A:'other' IP:'192.0.2.8'", "Duplicate IP: 192.0.2.8")
	r.wantRefusal("OSSEC A:'fixed' IP:'192.0.2.8'", "Duplicate agent name: fixed") // one of the two is there
	r.wantKey("OSSEC A:'other' IP:'192.0.2.7'", "007 other 192.0.2.7")
	r.waitLog("agent enrolled\" agent=007 name=other address=192.0.2.7 source=127.0.0.1 replaced=003")
	text := r.keysFile()
	for _, want := range []string{"001 #", "002 nearly", "003 #", "004 there", "005 new", "006 gone", "007 other"} {
		if !strings.Contains("\n"+text, "\n"+want) {
			t.Errorf("the keys file has no %q:\n%s", want, text)
		}
	}
}

func TestAddressSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Address = "source" })
	r.wantKey("OSSEC A:'web01' V:'v4.14.5' IP:'0.0.0.0/0'", "001 web01 127.0.0.1")
	r.wantRefusal("OSSEC A:'web02'", "Duplicate IP: 127.0.0.1")
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	_, ca := (*authority)(nil).sign(t)
	mine, _ := ca.sign(t)
	strange, _ := (*authority)(nil).sign(t)
	r := newRig(t, func(c *Config) { c.ClientCA = writeFile(t, "ca.pem", ca.pem()) })
	if answer, err := r.tryAsk("OSSEC A:'web01'\n", mine); err != nil || !strings.HasPrefix(answer, "OSSEC K:'001 web01 any ") {
		t.Errorf("with a certificate: got %q, %v", answer, err)
	}
	if answer, err := r.tryAsk("OSSEC A:'web02'\n", strange); err == nil || answer != "" {
		t.Errorf("with a strange certificate: got %q, %v", answer, err)
	}
	if answer, err := r.tryAsk("OSSEC A:'web02'\n"); err == nil || answer != "" {
		t.Errorf("without a certificate: got %q, %v", answer, err)
	}
	if text := r.keysFile(); strings.Count(text, "\n") != 1 || strings.Contains(r.logs.String(), "whoever reaches") {
		t.Errorf("the keys file has %q, the log\n%s", text, r.logs.String())
	}
}

// TestManyAtOnce has many agents ask at once: each gets a key of its own, and their keys are few edits.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	const agents, uses = 12, 8
	r := newRig(t, func(c *Config) { c.Tokens = path })
	token := addToken(t, path, tokens.Token{Uses: uses, Names: "*"})
	answers := make(chan string)
	for n := range agents {
		go func() {
			answer, err := r.tryAsk(fmt.Sprintf("OSSEC PASS: %s OSSEC A:'web%d'\n", token, n))
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
	}
	got := make(map[string]bool)
	refused := 0
	for range agents {
		switch answer := <-answers; {
		case strings.HasPrefix(answer, "OSSEC K:'"):
			got[strings.Fields(answer)[1][3:]] = true
		case strings.Contains(answer, "used up"):
			refused++
		default:
			t.Errorf("got %q", answer)
		}
	}
	set, faults, err := keys.Load(r.cfg.Keys)
	if err != nil || len(faults) > 0 || len(set.Keys) != uses || len(got) != uses || refused != agents-uses {
		t.Errorf("got IDs %v and %d refusals; the file has %v, %v, %v", got, refused, set, faults, err)
	}
}
