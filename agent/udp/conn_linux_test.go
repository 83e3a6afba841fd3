package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// quietPair is a socket as the agent makes it, and the other end of it.
func quietPair(t *testing.T) (net.Conn, *net.UDPConn) {
	t.Helper()
	end, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	conn, err := Dial(t.Context(), "udp", end.LocalAddr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, ok := conn.(BatchWriter); !ok {
		t.Fatalf("a %T takes no batches", conn)
	}
	return conn, end
}

func TestQuietConn(t *testing.T) {
	t.Parallel()
	conn, end := quietPair(t)
	var batch [][]byte
	for i := range MaxBatch {
		batch = append(batch, fmt.Appendf(nil, "datagram %d", i))
	}
	buf := make([]byte, 100)
	for round := range 3 {
		if n, err := conn.(BatchWriter).WriteBatch(batch); n != MaxBatch || err != nil {
			t.Fatal(n, err)
		}
		if _, err := conn.Write([]byte("alone")); err != nil {
			t.Fatal(err)
		}
		for i := range MaxBatch + 1 {
			n, from, err := end.ReadFromUDPAddrPort(buf)
			want := []byte("alone")
			if i < MaxBatch {
				want = batch[i]
			}
			if err != nil || !bytes.Equal(buf[:n], want) || from.String() != conn.LocalAddr().String() {
				t.Fatalf("%q from %v, %v; want %q", buf[:n], from, err, want)
			}
			if i < 2 { // one is there before Read is called, or comes while it waits
				if _, err := end.WriteToUDPAddrPort(fmt.Append(nil, "answer ", i), from); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 2 {
			if n, err := conn.Read(buf); err != nil || string(buf[:n]) != fmt.Sprint("answer ", i) {
				t.Fatalf("round %d: %q, %v", round, buf[:n], err)
			}
		}
	}
	ended := make(chan error)
	go func() {
		_, err := conn.Read(buf)
		ended <- err
	}()
	time.Sleep(time.Millisecond) // most likely it waits then
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read at Close: %v", err)
	}
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}

func TestQuietConnFailures(t *testing.T) {
	t.Parallel()
	conn, end := quietPair(t)
	long := make([]byte, 1<<16)
	n, err := conn.(BatchWriter).WriteBatch([][]byte{{1}, {2}, long, {3}})
	if n != 2 || !IsTooLong(err) {
		t.Errorf("%d were sent, %v; want 2, and too long", n, err)
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(long); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("Read after its deadline: %v", err)
	}
	conn.SetReadDeadline(time.Time{})
	end.Close()
	if _, err := conn.Write([]byte("nobody")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(long); !IsRefused(err) {
		t.Errorf("Read where nobody listens: %v", err)
	}
	conn.Write([]byte("nobody"))
	if _, err := conn.Write([]byte("nobody")); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Write where nobody listens: %v", err)
	}
}
