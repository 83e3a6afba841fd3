//go:build unix

package readiness

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestAnnounce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	Announce(ctx)
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		text := make([]byte, 100)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(text)
		if err != nil || string(text[:n]) != want {
			t.Errorf("got %q, %v, want %s", text[:n], err, want)
		}
		stop()
	}
}
