package queue

import (
	"bytes"
	"testing"
)

func FuzzRecord(f *testing.F) {
	for _, text := range []string{"x", "a record", "\x00\xff"} {
		f.Add(seal(append(make([]byte, recordHead), text...), 0))
	}
	f.Add([]byte("\x03\x00\x00\x00\x00\x00\x00\x001\xff\xff"))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := open(b)
		if err != nil {
			return
		}
		if again := seal(append(make([]byte, recordHead), record...), 0); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func TestRecord(t *testing.T) {
	t.Parallel()
	whole := seal(append(make([]byte, recordHead), "a record"...), 0)
	for n := range whole {
		if record, err := open(whole[:n]); err == nil {
			t.Errorf("%d bytes are taken for %q", n, record)
		}
	}
	if record, err := open(append(whole, "more"...)); err != nil || string(record) != "a record" {
		t.Errorf("%q, %v", record, err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if record, err := open(bad); err == nil {
			t.Errorf("with another byte %d it is taken for %q", i, record)
		}
	}
	if record, err := open(make([]byte, 100)); err == nil {
		t.Errorf("zeros are taken for %q", record)
	}
	if long := seal(make([]byte, 2*MaxRecord), 0); len(long) != recordHead+MaxRecord {
		t.Errorf("a long one has %d bytes", len(long))
	}
}
