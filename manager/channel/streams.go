package channel

import (
	"context"
	"net/netip"
	"time"

	"ossecd/manager/listen"
)

// Over TCP an agent is answered over the connection that its last fresh message came over. There is one: the next one takes its place, however
// alive it looks. Whoever sends a fresh message has the key, and sealed it after all that came before; a connection on which nothing came since
// may be dead for minutes before the system finds out. Of two hosts with one key that both live, the clone detector tells.

// ReceiveStreams takes what comes over connections until ctx ends.
func (c *Channel) ReceiveStreams(ctx context.Context, streams *listen.Streams) error {
	return streams.Serve(ctx, func() (listen.Handler, error) {
		r, err := newReceiver(c, nil)
		return streamReceiver{r}, err
	})
}

// streamReceiver is a receiver of packets that came over connections.
type streamReceiver struct{ *receiver }

// Take implements listen.Handler. A connection that somebody without a key uses is closed, as by a stock manager.
func (r streamReceiver) Take(s *listen.Stream, packet []byte, now time.Time) (keep bool) {
	r.conn = s
	r.receive(packet, s.From(), netip.Addr{}, now)
	return r.genuine
}

// Malformed implements listen.Handler.
func (r streamReceiver) Malformed(s *listen.Stream, err error) {
	r.refusals.unauthenticated(reasonOf(err), s.From(), nil)
}

// Done implements listen.Handler.
func (r streamReceiver) Done() { r.handOver(false) }
