package channel

import (
	"context"
	"sync"
	"testing"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/link"
	"ossecd/agent/source"
	"ossecd/proto"
)

// From Emit to the datagram handed to the socket.
func BenchmarkEmit(b *testing.B) {
	text := []byte("Nov 22 15:30:01 web01 sshd[4242]: Failed password for invalid user admin from 203.0.113.77 port 52814 ssh2; the next attempt of that address will be the 17th within ten minutes, pid=99")
	for _, method := range []proto.Method{proto.Blowfish, proto.AES} {
		for _, size := range []int{1, 64} {
			name := method.String() + "-batch1"
			if size > 1 {
				name = method.String() + "-batch64"
			}
			b.Run(name, func(b *testing.B) {
				acks := make(chan struct{}, 1)
				var writes int
				var last time.Time
				ch, box := open(b, Config{Method: method}, false, newDeaf(func() {
					now := time.Now()
					pause := now.Sub(last)
					last = now
					if writes++; writes%32 == 0 || pause > 50*time.Millisecond {
						select {
						case acks <- struct{}{}:
						default:
						}
					}
				}))
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				l := link.New(link.Config{
					Managers: ch.cfg.Managers, Dialer: ch, Outbox: box.Reader(0), Orders: noOrders{}, TimeReconnect: time.Hour, Log: ch.log,
				})
				var helpers sync.WaitGroup
				helpers.Go(func() { l.Run(ctx) })
				helpers.Go(func() { // a manager that answers in time
					ack := []byte(proto.Ack)
					var inbox chan conversation.Message
					for {
						select {
						case <-acks:
							if inbox == nil {
								inbox = ch.conv.recv.inbox // of the only conversation
							}
							select {
							case inbox <- conversation.Message{Kind: proto.ManagerAck, Text: ack}:
							case <-ctx.Done():
								return
							}
						case <-ctx.Done():
							return
						}
					}
				})
				out := box.Output("test", 0)
				batch := make([]source.Event, size)
				for i := range batch {
					batch[i] = source.Event{Queue: '1', Location: "/var/log/auth.log", Message: text}
				}
				b.ReportAllocs()
				for b.Loop() {
					if n, err := out.Emit(ctx, batch); n != size || err != nil {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
				cancel()
				helpers.Wait()
			})
		}
	}
}

// noOrders obeys none.
type noOrders struct{}

func (noOrders) Begin()                 {}
func (noOrders) Results() <-chan func() { return nil }
func (noOrders) Close()                 {}
func (noOrders) Obey(conversation.Message, func([]byte) error) (leave, remedy string) {
	return "", ""
}
