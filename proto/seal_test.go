package proto

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func testKey() Key {
	return Key([]byte("0123456789abcdef0123456789abcdef0123456789abcde"))
}

// forms are all the forms a datagram can have.
var forms = []Envelope{
	{Method: Blowfish},
	{Method: Blowfish, Dialect: OSSEC, ID: "001"},
	{Method: Blowfish, Dialect: Wazuh, ID: "12345678"},
	{Method: AES, Dialect: OSSEC},
	{Method: AES, Dialect: OSSEC, ID: "001"},
	{Method: AES, Dialect: Wazuh, ID: "7"},
}

func mustSealer(t testing.TB, level int) *Sealer {
	s, err := NewSealer(level)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpens(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	c, o := NewCipher(testKey()), NewOpener()
	for _, level := range []int{0, 1, 9} {
		s := mustSealer(t, level)
		for _, e := range forms {
			for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100, 899, 1500, MaxMessageOSSEC, 20_000, 60_000} {
				message := make([]byte, n)
				for i := range message {
					message[i] = byte(r.Uint32())
				}
				e.Counter = Counter{r.Uint32(), 1 + r.Uint32N(localMax)}
				e.Random = uint16(r.Uint32())
				for i := range e.IV {
					e.IV[i] = byte(r.Uint32())
				}
				before := []byte("before")
				d, err := s.Seal(before, c, &e, message)
				if n > MaxMessage(e.Dialect) {
					if !errors.Is(err, ErrTooLarge) || string(d) != "before" {
						t.Errorf("%+v, %d bytes: %v", e, n, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%+v, %d bytes: %v", e, n, err)
				}
				f, err := ParseFrame(d[len(before):])
				if err != nil || string(f.ID) != e.ID {
					t.Fatalf("%+v: frame %v, ID %q", e, err, f.ID)
				}
				for _, known := range []Dialect{0, e.Dialect} {
					m, err := o.Open(c, f, known)
					if err != nil {
						t.Fatalf("%+v, %d bytes, level %d: %v", e, n, level, err)
					}
					if !bytes.Equal(m.Payload, message) || m.Counter != e.Counter || m.Random != e.Random {
						t.Errorf("%+v: opened as %v %d", e, m.Counter, m.Random)
					}
				}
			}
		}
	}
}

func TestSealPaddingIsOneToEight(t *testing.T) {
	t.Parallel()
	c, s := NewCipher(testKey()), mustSealer(t, 1)
	seen := map[int]bool{}
	for n := range 64 {
		e := forms[0]
		d, err := s.Seal(nil, c, &e, bytes.Repeat([]byte("ab0"), n))
		if err != nil {
			t.Fatal(err)
		}
		plain := make([]byte, len(d)-1)
		c.decryptBlowfish(plain, d[1:])
		pad := len(plain) - len(bytes.TrimLeft(plain, "!"))
		if pad < 1 || pad > 8 {
			t.Fatalf("%d bytes of padding", pad)
		}
		seen[pad] = true
	}
	if len(seen) != 8 {
		t.Errorf("paddings seen: %v, want all of 1 to 8", seen)
	}
}

// encryptForm encrypts plain in the form of e, with no regard to whether it makes sense.
func encryptForm(c *Cipher, e Envelope, plain []byte) []byte {
	var d []byte
	if e.ID != "" {
		d = fmt.Appendf(d, "!%s!", e.ID)
	}
	if e.Method == Blowfish {
		for len(plain)%8 > 0 {
			plain = append(plain, 0)
		}
		c.encryptBlowfish(plain)
		return append(append(d, ':'), plain...)
	}
	d = append(d, aesTag...)
	pad := 16 - len(plain)%16
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	if e.Dialect == Wazuh {
		c.encryptAES(plain, wazuhIV)
		return append(d, plain...)
	}
	c.encryptAES(plain, e.IV[:])
	return append(append(d, e.IV[:]...), plain...)
}

func deflate(t testing.TB, body []byte, level int) []byte {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(body)
	w.Close()
	return b.Bytes()
}

func sumBody(rest string) []byte {
	sum := md5.Sum([]byte(rest))
	return []byte(hex.EncodeToString(sum[:]) + rest)
}

func TestOpenOddForms(t *testing.T) {
	t.Parallel()
	good := sumBody("00005" + "0000000007" + ":" + "0042" + ":" + "hello")
	big := func(n int) []byte {
		return sumBody("00005" + "0000000007:0042:" + string(bytes.Repeat([]byte("x"), n)))
	}
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name  string
		plain []byte
		want  error
	}{
		{"as stock writes it", cat([]byte("!!!"), deflate(t, good, 9)), nil},
		{"16 !", cat(bytes.Repeat([]byte("!"), 16), deflate(t, good, 9)), nil},
		{"400 !", cat(bytes.Repeat([]byte("!"), 400), deflate(t, good, 9)), nil},
		{"stored, level 0", cat([]byte("!"), deflate(t, good, 0)), nil},
		{"NULs behind the stream", cat([]byte("!"), deflate(t, good, 1), make([]byte, 24)), nil},
		{"no !", deflate(t, good, 9), ErrKey},
		{"only !", []byte("!!!!!!!!!!!!!!!!"), ErrKey},
		{"no zlib header", []byte("!!!!not a stream"), ErrKey},
		{"stream cut", cat([]byte("!"), cut(deflate(t, good, 9), 10)), ErrChecksum},
		{"adler cut", cat([]byte("!"), cut(deflate(t, good, 9), 4)), ErrChecksum},
		{"empty body", cat([]byte("!"), deflate(t, nil, 9)), ErrChecksum},
		{"52 bytes", cat([]byte("!"), deflate(t, good[:52], 9)), ErrChecksum},
		{"no message", cat([]byte("!"), deflate(t, sumBody("000050000000007:0042:"), 9)), nil},
		{"md5 wrong", cat([]byte("!"), deflate(t, append([]byte("0"), good[1:]...), 9)), ErrChecksum},
		{"md5 in upper case", cat([]byte("!"), deflate(t, cat(bytes.ToUpper(good[:32]), good[32:]), 9)), ErrChecksum},
		{"random no digits", cat([]byte("!"), deflate(t, sumBody("0000x0000000007:0042:hello"), 9)), ErrMalformed},
		{"random over 16 bits", cat([]byte("!"), deflate(t, sumBody("999990000000007:0042:hello"), 9)), ErrMalformed},
		{"global no digits", cat([]byte("!"), deflate(t, sumBody("00005-000000007:0042:hello"), 9)), ErrMalformed},
		{"global over 32 bits", cat([]byte("!"), deflate(t, sumBody("000054294967296:0042:hello"), 9)), ErrMalformed},
		{"local no digits", cat([]byte("!"), deflate(t, sumBody("000050000000007: 042:hello"), 9)), ErrMalformed},
		{"colons missing", cat([]byte("!"), deflate(t, sumBody("000050000000007.0042.hello"), 9)), ErrMalformed},
		{"OSSEC's most", cat([]byte("!"), deflate(t, big(maxBodyOSSEC-bodyOverhead), 9)), nil},
		{"over OSSEC's most", cat([]byte("!"), deflate(t, big(maxBodyOSSEC-bodyOverhead+1), 9)), ErrTooLarge},
		{"bomb", cat([]byte("!"), deflate(t, big(10_000_000), 9)), ErrTooLarge},
	}
	c, o := NewCipher(testKey()), NewOpener()
	for _, e := range forms {
		if e.Dialect == 0 {
			e.Dialect = OSSEC
		}
		for _, tt := range tests {
			want := tt.want
			if e.Dialect == Wazuh && tt.name == "over OSSEC's most" {
				want = nil
			}
			f, err := ParseFrame(encryptForm(c, e, bytes.Clone(tt.plain)))
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			m, err := o.Open(c, f, e.Dialect)
			if err != want {
				t.Errorf("%s, %v %v: error %v, want %v", tt.name, e.Method, e.Dialect, err, want)
			}
			if err == nil && m.Counter != (Counter{7, 42}) {
				t.Errorf("%s: counter %v", tt.name, m.Counter)
			}
		}
	}
}

func TestOpenWithAnotherKey(t *testing.T) {
	t.Parallel()
	other := NewCipher(Key([]byte("ffffffffffffffffffffffffffffffffffffffffffffff0")))
	c, o, s := NewCipher(testKey()), NewOpener(), mustSealer(t, 9)
	for _, e := range forms {
		d, err := s.Seal(nil, c, &e, []byte("1:x:y"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFrame(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(other, f, 0); err != ErrKey {
			t.Errorf("%v %v: %v, want ErrKey", e.Method, e.Dialect, err)
		}
	}
}

func TestParseFrame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		id   string
		want error
	}{
		{":12345678", "", nil},
		{"!001!:12345678", "001", nil},
		{"!12345678!#AES:1234567890123456", "12345678", nil},
		{"#AES:1234567890123456", "", nil},
		{"", "", ErrMalformed},
		{"!", "", ErrMalformed},
		{"!!", "", ErrMalformed},
		{"!!:12345678", "", ErrMalformed},
		{"!001", "", ErrMalformed},
		{"!001!", "", ErrMalformed},
		{"!001!:", "", ErrMalformed},
		{"!001!:1234567", "", ErrMalformed},
		{"!001!#AES:", "", ErrMalformed},
		{"!001!#AES:12345678", "", ErrMalformed},
		{"!123456789!:12345678", "", ErrMalformed},
		{"!../1!:12345678", "", ErrMalformed},
		{"!0 1!:12345678", "", ErrMalformed},
		{"x12345678", "", ErrMalformed},
		{"#AES1234567890123456", "", ErrMalformed},
		{":" + string(make([]byte, 65_528)), "", nil},
		{":" + string(make([]byte, 65_536)), "", ErrTooLarge},
	}
	for _, tt := range tests {
		f, err := ParseFrame([]byte(tt.in))
		if err != tt.want || string(f.ID) != tt.id {
			t.Errorf("%.30q: ID %q, %v; want %q, %v", tt.in, f.ID, err, tt.id, tt.want)
		}
	}
}

var event200 = []byte("1:/var/log/auth.log:Nov 22 15:30:01 web01 sshd[4242]: Failed password for invalid user admin from 203.0.113.77 port 52814 ssh2; the next attempt of that address will be the 17th within ten minutes, pid=991")

func BenchmarkOpen(b *testing.B) {
	c, o, s := NewCipher(testKey()), NewOpener(), mustSealer(b, 9)
	for _, e := range []Envelope{forms[1], forms[4], forms[5]} {
		b.Run(fmt.Sprint(e.Method, "-", e.Dialect), func(b *testing.B) {
			d, err := s.Seal(nil, c, &e, event200)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				f, err := ParseFrame(d)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := o.Open(c, f, e.Dialect); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	c := NewCipher(testKey())
	for _, level := range []int{1, 9} {
		for _, e := range []Envelope{forms[1], forms[4]} {
			b.Run(fmt.Sprintf("%v-level%d", e.Method, level), func(b *testing.B) {
				s := mustSealer(b, level)
				var d []byte
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if d, err = s.Seal(d[:0], c, &e, event200); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkSealParts are the parts of Seal with Blowfish at level 1, each alone.
func BenchmarkSealParts(b *testing.B) {
	c, s := NewCipher(testKey()), mustSealer(b, 1)
	e := forms[1]
	d, err := s.Seal(nil, c, &e, event200)
	if err != nil {
		b.Fatal(err)
	}
	text := bytes.Clone(d[len("!001!:"):])
	b.Run("encrypt", func(b *testing.B) {
		for b.Loop() {
			c.encryptBlowfish(text)
		}
	})
	b.Run("deflate", func(b *testing.B) {
		for b.Loop() {
			s.out.p = s.out.p[:0]
			s.deflate.Reset(&s.out)
			s.deflate.Write(s.body)
			s.deflate.Close()
		}
	})
	b.Run("md5", func(b *testing.B) {
		for b.Loop() {
			md5.Sum(s.body[32:])
		}
	})
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			if d, err = s.Seal(d[:0], c, &e, event200); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpenWrongKey is what a stranger's datagram costs: the same at any length.
func BenchmarkOpenWrongKey(b *testing.B) {
	c, o := NewCipher(testKey()), NewOpener()
	for _, m := range []Method{Blowfish, AES} {
		for _, size := range []int{208, 65_472} {
			f := Frame{Method: m, Body: bytes.Repeat([]byte("junk"), size/4)}
			b.Run(fmt.Sprint(m, "/", size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := o.Open(c, f, OSSEC); err != ErrKey {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A message that is stored opens as any other, and its length alone decides how long the datagram is.
func TestStored(t *testing.T) {
	t.Parallel()
	c := NewCipher(testKey())
	s, o := mustSealer(t, 1), NewOpener()
	for _, e := range forms {
		e.Stored = true
		for _, n := range []int{1, 2, 100, 5_000, MaxMessage(e.Dialect)} {
			alike := bytes.Repeat([]byte("a"), n)
			d, err := s.Seal(nil, c, &e, alike)
			if err == ErrTooLarge && n > 60_000 {
				continue
			}
			if err != nil || len(d) < n {
				t.Fatalf("%d bytes become %d, %v", n, len(d), err)
			}
			f, err := ParseFrame(d)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := o.Open(c, f, e.Dialect); err != nil || !bytes.Equal(m.Payload, alike) {
				t.Errorf("%+v, %d bytes: %v", e, n, err)
			}
		}
	}
}
