package tcp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
)

// pair is a connection, and the stream at the manager's end.
func pair(t *testing.T) (*Conn, net.Conn) {
	here, there := net.Pipe()
	c := New(here)
	t.Cleanup(func() {
		c.Close()
		there.Close()
	})
	return c, there
}

// Messages come whole, however the stream is cut.
func TestRead(t *testing.T) {
	t.Parallel()
	messages := [][]byte{[]byte("a"), bytes.Repeat([]byte("long "), 2000), []byte("b"), make([]byte, proto.MaxPacket)}
	var stream []byte
	for _, m := range messages {
		stream = proto.AppendPacket(stream, m)
	}
	for _, piece := range []int{1, 2, 3, 4, 5, 7, 1000, 4096, len(stream)} {
		c, there := pair(t)
		go func() {
			for rest := stream; len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := there.Write(rest[:n]); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
			there.Close()
		}()
		buf := make([]byte, 1<<16)
		for i, want := range messages {
			if n, err := c.Read(buf); err != nil || !bytes.Equal(buf[:n], want) {
				t.Fatalf("pieces of %d: message %d has %d bytes, %v; want %d", piece, i, n, err, len(want))
			}
		}
		if _, err := c.Read(buf); !errors.Is(err, io.EOF) || err.Error() != "the manager closed the connection" {
			t.Errorf("at the end: %v", err)
		}
	}
}

// Whatever ends the stream in the middle of a message ends the connection.
func TestReadOfWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	whole := proto.AppendPacket(nil, []byte(":12345678"))
	for cut := range len(whole) {
		c, there := pair(t)
		go func() {
			there.Write(whole[:cut])
			there.Close()
		}()
		if n, err := c.Read(make([]byte, 1<<16)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("cut at %d: %d bytes, %v", cut, n, err)
		}
	}
	for _, garbage := range []string{"\x00\x00\x00\x00", "HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02"} {
		c, there := pair(t)
		go there.Write([]byte(garbage))
		if _, err := c.Read(make([]byte, 1<<16)); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", garbage, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, io.EOF) {
			t.Errorf("%q: then a write: %v", garbage, err)
		}
		if _, err := c.Read(make([]byte, 1<<16)); !errors.Is(err, io.EOF) {
			t.Errorf("%q: then a read: %v", garbage, err)
		}
	}
}

// A deadline ends a Read and nothing else.
func TestReadDeadline(t *testing.T) {
	t.Parallel()
	c, there := pair(t)
	buf := make([]byte, 1<<16)
	c.SetReadDeadline(time.Now())
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	c.SetReadDeadline(time.Time{})
	go there.Write(proto.AppendPacket(nil, []byte("x")))
	if n, err := c.Read(buf); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	c, there := pair(t)
	go func() {
		c.Write([]byte("one"))
		if n, err := c.WriteBatch([][]byte{[]byte("two"), []byte("three")}); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		c.Close()
	}()
	got, err := io.ReadAll(there)
	if want := "\x03\x00\x00\x00one\x03\x00\x00\x00two\x05\x00\x00\x00three"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Read(make([]byte, 1<<16)); !errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
}

// A manager that reads nothing holds up a write for a while, and an agent that stops for a moment only.
func TestManagerThatReadsNothing(t *testing.T) {
	t.Parallel()
	for _, stops := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := pair(t)
			began := time.Now()
			want := writeWithin
			if stops {
				want = 2 * time.Second
				time.AfterFunc(time.Second, func() { c.SetWriteDeadline(time.Now().Add(time.Second)) })
			}
			_, err := c.Write([]byte("x"))
			if took := time.Since(began); took != want || !errors.Is(err, io.EOF) || err.Error() != "the manager takes nothing from the connection" {
				t.Errorf("stops %t: after %v: %v", stops, took, err)
			}
			if _, err := c.Read(make([]byte, 1<<16)); !errors.Is(err, io.EOF) {
				t.Errorf("the reader is told %v", err)
			}
		})
	}
}
