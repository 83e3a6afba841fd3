package enroll

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkEnroll has many agents enrol over loopback, and as many shake hands with a bare TLS server of the same
// configuration that answers at once: the two rates, of one run, tell what all but TLS costs. Both sides of the connections
// are in the process.
func BenchmarkEnroll(b *testing.B) {
	cfg := Config{Listen: "127.0.0.1:0", Keys: filepath.Join(b.TempDir(), "client.keys"), Dir: b.TempDir(),
		Silence: func(string) time.Duration { return 0 }, TakeUp: func() {}}
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
	const workers = 64
	ask := func(addr string) error {
		n := agents.Add(1)
		from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))} // each address may come so often only
		raw, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer raw.Close()
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
		enrolled += all(s.listener.Addr().String(), 500)
		shaken += all(bare.Addr().String(), 500)
		count += 500
	}
	b.ReportMetric(float64(count)/enrolled.Seconds(), "enrolments/s")
	b.ReportMetric(float64(count)/shaken.Seconds(), "handshakes/s")
}
