package proto

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// cutAll takes packets off a stream that comes in pieces, cut at these places.
func cutAll(stream []byte, cuts ...int) (packets [][]byte, err error) {
	var have []byte
	for i, from := range append([]int{0}, cuts...) {
		to := len(stream)
		if i < len(cuts) {
			to = cuts[i]
		}
		have = append(have, stream[from:to]...)
		for {
			packet, rest, need, err := CutPacket(have)
			if err != nil {
				return packets, err
			}
			if packet == nil {
				if need <= len(have) {
					return packets, errors.New("it needs no more than there is")
				}
				break
			}
			packets = append(packets, bytes.Clone(packet))
			have = rest
		}
	}
	if len(have) > 0 {
		return packets, errors.New("something is left")
	}
	return packets, nil
}

func TestPacketsCutAnywhere(t *testing.T) {
	t.Parallel()
	want := [][]byte{[]byte(Ping), []byte(":x"), bytes.Repeat([]byte("a"), 300), []byte("!003!:12345678")}
	var stream []byte
	for _, p := range want {
		stream = AppendPacket(stream, p)
	}
	check := func(cuts ...int) {
		t.Helper()
		if got, err := cutAll(stream, cuts...); err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("cut at %v: %q, %v", cuts, got, err)
		}
	}
	check()
	for i := range stream {
		check(i)
		for j := i; j < len(stream); j += 7 {
			check(i, j)
		}
	}
	every := make([]int, len(stream)-1)
	for i := range every {
		every[i] = i + 1
	}
	check(every...)
	for i := range len(stream) - 1 { // cut short, it never gives more than came
		got, err := cutAll(stream[:i+1])
		whole := 0
		for end := 0; whole < len(want) && end+PacketHeader+len(want[whole]) <= i+1; whole++ {
			end += PacketHeader + len(want[whole])
		}
		if len(got) != whole {
			t.Fatalf("%d bytes: %d packets, %v; want %d", i+1, len(got), err, whole)
		}
	}
}

func TestPacketLengths(t *testing.T) {
	t.Parallel()
	longest := AppendPacket(nil, make([]byte, MaxPacket))
	tests := []struct {
		name   string
		stream []byte
		length int // of the packet; -1 for none
		err    error
	}{
		{"nothing", nil, -1, nil},
		{"a part of a length", []byte{1, 0, 0}, -1, nil},
		{"empty", []byte{0, 0, 0, 0, ':'}, -1, ErrMalformed},
		{"one byte", []byte{1, 0, 0, 0, ':'}, 1, nil},
		{"the longest", longest, MaxPacket, nil},
		{"all but its last byte", longest[:len(longest)-1], -1, nil},
		{"too long", []byte{1, 0, 1, 0}, -1, ErrTooLarge},
		{"the highest byte first", []byte{0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'}, -1, ErrTooLarge},
		{"a negative length", []byte{0xff, 0xff, 0xff, 0xff}, -1, ErrTooLarge},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1}, -1, ErrTooLarge},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), -1, ErrTooLarge},
	}
	for _, tt := range tests {
		packet, rest, need, err := CutPacket(tt.stream)
		length := len(packet)
		if packet == nil {
			length = -1
		}
		if length != tt.length || err != tt.err || err == nil && packet == nil && need <= len(tt.stream) {
			t.Errorf("%s: packet of %d bytes, %d needed, %v", tt.name, length, need, err)
		}
		if packet == nil && len(rest) != len(tt.stream) {
			t.Errorf("%s: %d bytes are left", tt.name, len(rest))
		}
	}
}

// FuzzPackets reads foreign bytes as a stream, in two pieces and in one.
func FuzzPackets(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(AppendPacket(AppendPacket(nil, []byte(Ping)), s), uint16(7))
	}
	f.Add([]byte{0, 0, 0, 0}, uint16(1))
	f.Add([]byte{0, 0, 1, 0}, uint16(4))
	f.Fuzz(func(t *testing.T, stream []byte, cut uint16) {
		whole, err := cutAll(stream)
		pieces, err2 := cutAll(stream, int(cut)%(len(stream)+1))
		if !slices.EqualFunc(whole, pieces, bytes.Equal) || (err == nil) != (err2 == nil) {
			t.Fatalf("%d packets, %v; in pieces %d, %v", len(whole), err, len(pieces), err2)
		}
		var again []byte
		for _, p := range whole {
			if len(p) == 0 || len(p) > MaxPacket {
				t.Fatalf("a packet of %d bytes", len(p))
			}
			again = AppendPacket(again, p)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("the packets do not make up the stream")
		}
	})
}
