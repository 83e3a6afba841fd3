package obey

import (
	"errors"
	"net"
	"time"

	"ossecd/agent/response"
)

// execdWithin bounds the wait for an execd that does not read.
const execdWithin = 100 * time.Millisecond

// responder obeys orders for active responses.
type responder struct {
	env
	responses *response.Source // nil where they are not enabled
	execd     string           // empty without a stock program
	budget    *budget
}

// obey obeys an order for an active response, or hands it to the stock program that does.
func (r *responder) obey(order []byte) {
	switch {
	case !r.budget.allows(r.limited):
	case r.responses != nil:
		r.responses.Order(order)
	case r.execd == "":
		r.limited.Warn("an active response was ordered", "command", sample(order), "remedy", "nothing was run; to allow it, enable [agent.active_response]")
	default:
		order, err := response.Check(order)
		if err != nil {
			r.limited.Warn("an order for an active response was refused, and not handed to the stock execd", "command", sample(order), "err", err,
				"remedy", "look at the alert that caused it; it holds what somebody wrote into a log")
			return
		}
		if err := toExecd(r.execd, order); err != nil {
			r.limited.Warn("an active response cannot be handed to the stock execd", "command", sample(order), "err", err,
				"remedy", "start ossec-execd, or enable ossecd's own active responses: [agent.active_response]")
			return
		}
		r.log.Info("an active response was ordered, and handed to the stock execd", "command", sample(order))
	}
}

// toExecd hands an order for an active response to the program that obeys them in a stock install, in the form of the stock agent
// (docs/protocol.md, "Events").
func toExecd(path string, order []byte) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(execdWithin))
	_, err = conn.Write(append(order[:len(order):len(order)], 0))
	return errors.Join(err, conn.Close())
}
