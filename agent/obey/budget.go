package obey

import (
	"time"

	"golang.org/x/time/rate"
)

// order is a kind of what a manager can have the agent do.
type order uint8

const (
	toReconnect order = iota // told so, or told to be removed
	toTakeKey
	toStoreFile
	toCheckFiles
	toRespond // with an active response
	toAnswer  // a request
	numOrders
)

// budgets bound how often each kind of order is obeyed: so many at once, and one each so often from then on. What a manager orders
// beyond, by a fault or by somebody who has its key, costs a line in the log a minute, and neither disk nor network.
var budgets = [numOrders]struct {
	name  string
	every time.Duration
	burst int
}{
	toReconnect:  {"to reconnect", time.Minute, 1},
	toTakeKey:    {"to take a new key", time.Minute, 3},
	toStoreFile:  {"to store a file", 5 * time.Second, 32},
	toCheckFiles: {"to check files", time.Minute, 3},
	toRespond:    {"for an active response", 100 * time.Millisecond, 100},
	toAnswer:     {"to answer a request", 100 * time.Millisecond, 20},
}

// budget is what is left of them. The zero value is a full one.
type budget [numOrders]*rate.Limiter

// take says whether an order may be obeyed now.
func (b *budget) take(kind order, now time.Time) bool {
	if b[kind] == nil {
		b[kind] = rate.NewLimiter(rate.Every(budgets[kind].every), budgets[kind].burst)
	}
	return b[kind].AllowN(now, 1)
}

// may says whether an order is within its budget, and logs when it is not.
func (o *Orders) may(kind order) bool {
	if o.budget.take(kind, time.Now()) {
		return true
	}
	b := &budgets[kind]
	o.limited.Warn("orders "+b.name+" are ignored: there are too many", "obeyed_at_once", b.burst, "then_every", b.every.String(),
		"remedy", "none needed unless it goes on; then find out why the manager orders it so often")
	return false
}
