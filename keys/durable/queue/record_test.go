package queue

import (
	"bytes"
	"testing"
)

const salt = 0x5a17

// sealed is the record of a text with the number 7.
func sealed(text string) []byte {
	b := Seal(append(make([]byte, Head), text...), 0)
	Stamp(b, 7, salt)
	return b
}

func FuzzRecord(f *testing.F) {
	for _, text := range []string{"x", "a record", "\x00\xff"} {
		f.Add(sealed(text))
	}
	f.Add([]byte("\x03\x00\x00\x00\x00\x00\x00\x001\xff\xff"))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := open(b, salt)
		if err != nil {
			return
		}
		again := Seal(append(make([]byte, Head), record[Head:]...), 0)
		if Stamp(again, Number(b), salt); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func TestRecord(t *testing.T) {
	t.Parallel()
	whole := sealed("a record")
	for n := range whole {
		if record, err := open(whole[:n], salt); err == nil {
			t.Errorf("%d bytes are taken for %q", n, record)
		}
	}
	if record, err := open(append(whole, "more"...), salt); err != nil || string(record) != string(whole) {
		t.Errorf("%q, %v", record, err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if record, err := open(bad, salt); err == nil {
			t.Errorf("with another byte %d it is taken for %q", i, record)
		}
	}
	if record, err := open(make([]byte, 100), salt); err == nil {
		t.Errorf("zeros are taken for %q", record)
	}
	if long := Seal(make([]byte, 2*MaxRecord), 0); len(long) != Head+MaxRecord {
		t.Errorf("a long one has %d bytes", len(long))
	}
}
