package obey

import (
	"time"

	"golang.org/x/time/rate"

	"ossecd/keys/limitlog"
)

// budget bounds how often a kind of order is obeyed: so many at once, and one each so often from then on. What a manager orders
// beyond, by a fault or by somebody who has its key, costs a line in the log a minute, and neither disk nor network.
type budget struct {
	orders string
	every  time.Duration
	limit  *rate.Limiter
}

func newBudget(orders string, every time.Duration, burst int) *budget {
	return &budget{orders, every, rate.NewLimiter(rate.Every(every), burst)}
}

// allows says whether an order is within the budget, and logs when it is not.
func (b *budget) allows(limited *limitlog.Logger) bool {
	if b.limit.Allow() {
		return true
	}
	limited.Warn("orders "+b.orders+" are ignored: there are too many", "obeyed_at_once", b.limit.Burst(), "then_every", b.every.String(),
		"remedy", "none needed unless it goes on; then find out why the manager orders it so often")
	return false
}
