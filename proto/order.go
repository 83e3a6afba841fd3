package proto

import (
	"errors"
	"fmt"
	"strings"

	"ossecd/proto/printable"
)

// MaxOrder is the longest order in bytes: a stock agent reads datagrams of 1,024 bytes at most.
const MaxOrder = 900

// ErrOrder says that a text cannot be an order.
var ErrOrder = errors.New("is no order")

// CheckOrder says why a control message cannot be sent to agents as an order. The error wraps ErrOrder.
func CheckOrder(text string) error {
	if len(text) > MaxOrder {
		return fmt.Errorf("a text of %d bytes %w; use %d at most", len(text), ErrOrder, MaxOrder)
	}
	if i := strings.IndexFunc(text, printable.Steers); i >= 0 {
		return fmt.Errorf("%.40q %w: it has control characters; write it without", text, ErrOrder)
	}
	return nil
}
