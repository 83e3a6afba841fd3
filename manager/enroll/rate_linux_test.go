package enroll

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ossecd/keys"
)

// BenchmarkEnroll has many agents enrol over loopback, and as many shake hands with a bare TLS server of the same
// configuration that answers at once: the two rates, of one run, tell what all but TLS costs. Both sides of the connections
// are in the process. The keys file is read again after each batch, as the manager does.
func BenchmarkEnroll(b *testing.B) {
	for _, known := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) { benchmarkEnroll(b, known) })
	}
}

func benchmarkEnroll(b *testing.B, known int) {
	path := filepath.Join(b.TempDir(), "client.keys")
	var lines strings.Builder
	for n := range known {
		fmt.Fprintf(&lines, "%03d old%d any %s\n", n+1, n+1, keys.NewSecret())
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	store, err := keys.OpenStore(path, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{Listen: "127.0.0.1:0", Keys: path, Dir: b.TempDir(),
		Silence: func(string) time.Duration { return 0 }, TakeUp: func() { store.TakeUp(func(*keys.Set) {}) }}
	if err := cfg.Validate(); err != nil {
		b.Fatal(err)
	}
	s, err := Listen(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	ended.Go(func() { s.Run(ctx) })

	bare, err := tls.Listen("tcp", "127.0.0.1:0", s.tls)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	ended.Go(func() {
		for {
			conn, err := bare.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if line, err := readRequest(conn); err == nil {
					fmt.Fprintf(conn, "OSSEC K:'%s'\n\n", line)
				}
			}()
		}
	})

	var agents atomic.Int64
	const workers, round = 256, 1000
	ask := func(addr string) error {
		n := agents.Add(1)
		from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))} // each address may come so often only
		raw, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(30 * time.Second))
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		fmt.Fprintf(conn, "OSSEC A:'agent%d'\n", n)
		answer, err := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "OSSEC K:'") {
			return fmt.Errorf("answered %q: %v", answer, err)
		}
		return nil
	}
	all := func(addr string, n int) time.Duration {
		began := time.Now()
		var left atomic.Int64
		left.Store(int64(n))
		var running sync.WaitGroup
		for range workers {
			running.Go(func() {
				for left.Add(-1) >= 0 {
					if err := ask(addr); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		running.Wait()
		return time.Since(began)
	}
	var enrolled, shaken time.Duration
	count := 0
	for b.Loop() {
		enrolled += all(s.listener.Addr().String(), round)
		shaken += all(bare.Addr().String(), round)
		count += round
	}
	b.ReportMetric(float64(count)/enrolled.Seconds(), "enrolments/s")
	b.ReportMetric(float64(count)/shaken.Seconds(), "handshakes/s")
}
