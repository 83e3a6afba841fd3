package proto

import (
	"errors"
	"strings"
	"testing"
)

const (
	testSum  = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	testLine = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
)

// enrollRequests are requests as the programs send them, and what they say.
var enrollRequests = []struct {
	line string
	want EnrollRequest
}{
	{"OSSEC A:'web01'", EnrollRequest{Name: "web01"}},
	{"OSSEC PASS: sesame 1 OSSEC A:'web01'", EnrollRequest{Password: "sesame 1", Name: "web01"}},
	{"OSSEC PASS: a OSSEC A:'b' OSSEC A:'web01'", EnrollRequest{Password: "a OSSEC A:'b'", Name: "web01"}},
	{"OSSEC PASS: \xff größer OSSEC A:'web01'", EnrollRequest{Password: "\xff größer", Name: "web01"}},
	{"OSSEC A:'web01' V:'v4.14.5'", EnrollRequest{Name: "web01", Version: "v4.14.5"}},
	{"OSSEC PASS: p OSSEC A:'web01' V:'v4.14.5' G:'a,b' IP:'10.0.0.0/8' K:'" + testSum + "'",
		EnrollRequest{Password: "p", Name: "web01", Version: "v4.14.5", Groups: "a,b", Address: "10.0.0.0/8", KeySum: testSum}},
	{"OSSEC A:'web01' IP:'src'", EnrollRequest{Name: "web01", Address: "src"}},
}

func TestEnrollRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range enrollRequests {
		got, err := ParseEnrollRequest([]byte(tt.line))
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.line, got, err, tt.want)
		}
		back, err := AppendEnrollRequest([]byte("x"), &tt.want)
		if err != nil || string(back) != "x"+tt.line+"\n" {
			t.Errorf("%+v: got %q, %v", tt.want, back, err)
		}
		wantDialect := OSSEC
		if strings.Contains(tt.line, " V:'") {
			wantDialect = Wazuh
		}
		if got.Dialect() != wantDialect {
			t.Errorf("%q: dialect %v, want %v", tt.line, got.Dialect(), wantDialect)
		}
	}
}

// What stock managers pass over is passed over.
func TestEnrollRequestOdd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line string
		want EnrollRequest
	}{
		{"OSSEC A:''", EnrollRequest{}},
		{"OSSEC A:'web01' ", EnrollRequest{Name: "web01"}},
		{"OSSEC A:'web01'G:'a'", EnrollRequest{Name: "web01"}},
		{"OSSEC A:'web01' X:'a' V:'v1'", EnrollRequest{Name: "web01"}},
		{"OSSEC A:'web01' IP:'any' V:'v1'", EnrollRequest{Name: "web01", Address: "any"}},
		{"OSSEC A:'web01' G:'a' G:'b'", EnrollRequest{Name: "web01", Groups: "a"}},
		{"OSSEC PASS:  OSSEC A:'web01'", EnrollRequest{Name: "web01"}},
	} {
		if got, err := ParseEnrollRequest([]byte(tt.line)); err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.line, got, err, tt.want)
		}
	}
}

// A stock agent sends the line end of its password file.
func TestEnrollRequestLineFeed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sent string
		n    int
		want EnrollRequest
	}{
		{"OSSEC A:'web01'\nmore\n", 16, EnrollRequest{Name: "web01"}},
		{"OSSEC PASS: sesame 1\n OSSEC A:'web01'\n", 38, EnrollRequest{Password: "sesame 1", Name: "web01"}},
		{"OSSEC PASS: sesame 1\r\n OSSEC A:'web01' V:'v1'\n", 46, EnrollRequest{Password: "sesame 1", Name: "web01", Version: "v1"}},
		{"OSSEC PASS: sesame OSSEC A:'web01'\n OSSEC A:'web02'\n", 35, EnrollRequest{Password: "sesame", Name: "web01"}},
	} {
		got, err := ParseEnrollRequest([]byte(tt.sent[:tt.n-1]))
		if n := EnrollRequestLen([]byte(tt.sent)); n != tt.n || err != nil || got != tt.want {
			t.Errorf("%q: got %d, %+v, %v, want %d, %+v", tt.sent, n, got, err, tt.n, tt.want)
		}
		for n := range tt.n {
			if got := EnrollRequestLen([]byte(tt.sent[:n])); got != 0 {
				t.Errorf("%q: got %d", tt.sent[:n], got)
			}
		}
	}
	for sent, want := range map[string]int{"OSSEC PASS: a\nb": 14, "OSSEC PASS: a\n OSSEC B": 14, "\n": 1, "": 0, "OSSEC PASS: a\n OSS": 0} {
		if got := EnrollRequestLen([]byte(sent)); got != want {
			t.Errorf("%q: got %d, want %d", sent, got, want)
		}
	}
}

func TestEnrollRequestMalformed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", " ", "GET / HTTP/1.1", "ossec a:'x'", "OSSEC A:'web01", "OSSEC A:web01'", " OSSEC A:'web01'", "OSSEC PASS: p", "OSSEC PASS: p OSSEC",
		"OSSEC PASS: OSSEC A:'web01'", // the blank belongs to the tag
		"OSSEC A:'web\x00'", "OSSEC A:'web'\r", "OSSEC A:'web' V:'\x1b[2J'", "OSSEC PASS: \t OSSEC A:'web'", "OSSEC A:'web\x7f'",
		"OSSEC A:'web' V:'v1", "OSSEC A:'web' G:'a", "OSSEC A:'web' IP:'a", "OSSEC A:'web' K:'a",
		"OSSEC A:'" + strings.Repeat("a", MaxEnrollRequest-10) + "'",
	} {
		if got, err := ParseEnrollRequest([]byte(line)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.40q: got %+v, %v", line, got, err)
		}
	}
	// Cut off anywhere, a request says something else or nothing.
	for _, tt := range enrollRequests {
		for n := range len(tt.line) {
			if got, err := ParseEnrollRequest([]byte(tt.line[:n])); err == nil && got == tt.want {
				t.Errorf("%q cut to %q: got %+v", tt.line, tt.line[:n], got)
			}
		}
	}
}

func TestEnrollRequestUnsendable(t *testing.T) {
	t.Parallel()
	for _, r := range []EnrollRequest{
		{Name: "a'b"}, {Name: "a\nb"}, {Name: "a", Version: "'"}, {Name: "a", Groups: "a\x00"}, {Name: "a", Password: "a\n"},
		{Name: "a' OSSEC A:'b"}, {Name: "a", Password: "p' OSSEC A:'c", Address: "' OSSEC A:'d"},
		{Name: strings.Repeat("a", MaxEnrollRequest)},
	} {
		if got, err := AppendEnrollRequest([]byte("x"), &r); !errors.Is(err, ErrMalformed) || string(got) != "x" {
			t.Errorf("%+.60v: got %.60q, %v", r, got, err)
		}
	}
}

func TestEnrollAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer  string
		ended   bool
		line    string
		refusal string
		err     error
	}{
		{answer: "OSSEC K:'" + testLine + "'\n\n", line: testLine},
		{answer: "OSSEC K:'" + testLine + "'", line: testLine},
		{answer: "OSSEC K:'a' and more", line: "a"},
		{answer: "OSSEC K:'" + testLine, err: ErrEnrollShort},
		{answer: "OSSEC K:'" + testLine, ended: true, err: ErrEnrollShort},
		{answer: "OSSEC K:'" + strings.Repeat("a", MaxEnrollAnswer), err: ErrTooLarge},
		{answer: "ERROR: Invalid agent name: x\n\nERROR: Unable to add agent.\n\n", refusal: "Invalid agent name: x"},
		{answer: "ERROR: Invalid agent name: x\n", refusal: "Invalid agent name: x"},
		{answer: "ERROR: Duplicate agent na", err: ErrEnrollShort},
		{answer: "ERROR: Duplicate agent name: x. Unable to add agent", ended: true, refusal: "Duplicate agent name: x"},
		{answer: "ERROR: " + strings.Repeat("a", MaxEnrollAnswer), refusal: strings.Repeat("a", MaxEnrollAnswer)},
		{answer: "", err: ErrEnrollShort},
		{answer: "", ended: true, err: ErrEnrollShort},
		{answer: "OSSEC ", err: ErrEnrollShort},
		{answer: "ERR", err: ErrEnrollShort},
		{answer: "OSSEC A:'x'", err: ErrMalformed},
		{answer: "HTTP/1.1 400 Bad Request", err: ErrMalformed},
		{answer: "error: x\n", err: ErrMalformed},
	} {
		line, err := ParseEnrollAnswer([]byte(tt.answer), tt.ended)
		var refusal EnrollRefusal
		errors.As(err, &refusal)
		if line != tt.line || string(refusal) != tt.refusal || tt.refusal == "" && !errors.Is(err, tt.err) {
			t.Errorf("%.60q, ended %v: got %q, %.60v", tt.answer, tt.ended, line, err)
		}
	}
}

func TestAppendEnrollAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dialect        Dialect
		refusal        string
		wantKey, wantE string
	}{
		{OSSEC, "Invalid agent name: x", "OSSEC K:'" + testLine + "'\n\n", "ERROR: Invalid agent name: x\n\nERROR: Unable to add agent.\n\n"},
		{Wazuh, "Duplicate agent name: x", "OSSEC K:'" + testLine + "'", "ERROR: Duplicate agent name: x. Unable to add agent"},
		{Wazuh, "Invalid agent name: a\nb\x1b[2J", "OSSEC K:'" + testLine + "'", "ERROR: Invalid agent name: a?b?[2J. Unable to add agent"},
	} {
		if got := string(AppendEnrollKey(nil, testLine, tt.dialect)); got != tt.wantKey {
			t.Errorf("got %q, want %q", got, tt.wantKey)
		}
		got := AppendEnrollError(nil, tt.refusal, tt.dialect)
		if string(got) != tt.wantE {
			t.Errorf("got %q, want %q", got, tt.wantE)
		}
	}
	long := AppendEnrollError(nil, strings.Repeat("a", 3*MaxEnrollAnswer), OSSEC)
	if len(long) > MaxEnrollAnswer {
		t.Errorf("an answer of %d bytes", len(long))
	}
}

// A refusal in an error has no control characters and is not long.
func TestEnrollRefusal(t *testing.T) {
	t.Parallel()
	text := EnrollRefusal("\x1b[2J" + strings.Repeat("\x00", 10_000)).Error()
	if strings.ContainsAny(text, "\x1b\x00") || len(text) > 3000 {
		t.Errorf("%d bytes: %.80q", len(text), text)
	}
}

// FuzzEnroll reads foreign bytes as a request and as an answer.
func FuzzEnroll(f *testing.F) {
	for _, tt := range enrollRequests {
		f.Add([]byte(tt.line))
	}
	f.Add(AppendEnrollKey(nil, testLine, OSSEC))
	f.Add(AppendEnrollError(nil, "Invalid agent name: x", OSSEC))
	f.Add(AppendEnrollError(nil, "Invalid password", Wazuh))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseEnrollRequest(b); err == nil {
			line, err := AppendEnrollRequest(nil, &r)
			if err != nil {
				t.Fatalf("%q is %+v, which cannot be sent: %v", b, r, err)
			}
			if len(line) > len(b)+1 {
				t.Fatalf("%q became %q", b, line)
			}
		}
		if n := EnrollRequestLen(b); n > 0 && (n > len(b) || b[n-1] != '\n') {
			t.Fatalf("%q: %d bytes", b, n)
		}
		for _, ended := range []bool{false, true} {
			line, err := ParseEnrollAnswer(b, ended)
			if err == nil && strings.ContainsRune(line, '\'') || err != nil && line != "" {
				t.Fatalf("%q: %q, %v", b, line, err)
			}
		}
	})
}
