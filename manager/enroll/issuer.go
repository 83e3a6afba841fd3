package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/keys/marked"
	"ossecd/keys/tokens"
	"ossecd/proto"
)

// order is a request for a key, and what became of it.
type order struct {
	req  proto.EnrollRequest
	from netip.Addr
	done chan struct{} // closed when the rest is set

	address  string   // what the agent asks for, or is given by the configuration; empty: nothing of its own
	key      keys.Key // where why is 0
	token    string   // ID of the token that was used, if one was
	groups   string   // that its token has; they win over those that it asks for
	replaced string   // IDs of agents that had the name or the address
	returned bool     // the agent had this key before
	why      reason
}

// issuer gives out the keys. It is one goroutine, and does all orders that came while it was busy in one edit of each file.
type issuer struct {
	cfg    *Config
	log    *limitlog.Logger
	orders chan *order

	wrong bucket // passwords, of all addresses together
}

func newIssuer(cfg *Config, log *slog.Logger) *issuer {
	return &issuer{cfg: cfg, log: limitlog.New(log), orders: make(chan *order)}
}

// run settles orders until ctx ends. Each order that it took is settled.
func (c *issuer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-c.orders:
			began := time.Now()
			c.settle(c.waiting(o))
			rest(ctx, time.Since(began))
		}
	}
}

// rest lets orders come together after an edit: it costs by the agents that are known, not by those that come, and the handshakes
// of others want the processor, too.
func rest(ctx context.Context, took time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(2*took, restMost)):
	}
}

// waiting is the order and all that wait behind it.
func (c *issuer) waiting(first *order) []*order {
	batch := []*order{first}
	for {
		select {
		case o := <-c.orders:
			batch = append(batch, o)
		default:
			return batch
		}
	}
}

// settle decides about orders and gives out their keys. Tokens are spent before keys are given out: what happens between
// the two can cost a use of a token, and never gives one too many.
func (c *issuer) settle(batch []*order) {
	ctx, cancel := context.WithTimeout(context.Background(), editWithin)
	defer cancel()
	err := c.check(ctx, batch)
	for _, o := range batch {
		if err != nil && o.why == 0 {
			o.why = failed
		}
	}
	if err != nil {
		c.log.Error("agents get no keys", "err", err)
	}
	if err == nil && given(batch) {
		c.cfg.TakeUp()
	}
	for _, o := range batch {
		close(o.done)
	}
}

func given(batch []*order) bool {
	for _, o := range batch {
		if o.why == 0 {
			return true
		}
	}
	return false
}

// check looks at what agents show, and adds keys for those that may have one.
func (c *issuer) check(ctx context.Context, batch []*order) error {
	password, err := c.password()
	if err != nil {
		return err
	}
	if c.cfg.Tokens == "" {
		for _, o := range batch {
			if c.cfg.asks() {
				o.why = c.checkPassword(o.req.Password, password)
			}
		}
		return c.add(ctx, batch, nil)
	}
	return tokens.Edit(ctx, c.cfg.Tokens, func(f *tokens.File) error {
		now := time.Now()
		for _, o := range batch {
			switch {
			case tokens.IsToken(o.req.Password):
				_, o.why = checkToken(f, o, now)
			case password == "":
				o.why = wrongPassword
			default:
				o.why = c.checkPassword(o.req.Password, password)
			}
		}
		return c.add(ctx, batch, f)
	})
}

// checkPassword says why a password is refused; 0 where it is not.
func (c *issuer) checkPassword(shown, password string) reason {
	c.wrong.drain(time.Now(), wrongRate)
	switch {
	case c.wrong.used > wrongBurst-1:
		return passwordsPaused
	case !same(shown, password):
		c.wrong.used++
		return wrongPassword
	}
	return 0
}

// password is that of the password file, or empty where there is no such file in the configuration.
func (c *issuer) password() (string, error) {
	if c.cfg.PasswordFile == "" {
		return "", nil
	}
	return readPassword(c.cfg.PasswordFile)
}

// readPassword is the first line of a file, as the stock programs have it.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("enroll.password_file: %w; name a readable file whose first line is the password", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxPassword+8))
	if err != nil {
		return "", fmt.Errorf("enroll.password_file: %w", err)
	}
	line := marked.FirstLine(text)
	if len(line) == 0 || len(line) > maxPassword {
		return "", fmt.Errorf("enroll.password_file: the first line of %s has %d bytes; write a password of 1 to %d there", path, len(line), maxPassword)
	}
	return string(line), nil
}

// same compares without telling by the time it takes where the two differ, or in length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func checkToken(f *tokens.File, o *order, now time.Time) (*tokens.Token, reason) {
	t, err := f.Find(o.req.Password)
	if err == nil {
		o.token = t.ID()
		err = t.Check(o.req.Name, now)
	}
	switch {
	case err == nil:
		return t, 0
	case errors.Is(err, tokens.ErrUsedUp):
		return nil, usedUp
	case errors.Is(err, tokens.ErrExpired):
		return nil, expired
	case errors.Is(err, tokens.ErrName):
		return nil, tokenName
	}
	return nil, unknownToken
}

// add makes keys for the orders that were not refused yet. Where f is not nil, a token of it is spent for each order that
// came with one.
func (c *issuer) add(ctx context.Context, batch []*order, f *tokens.File) error {
	if !given(batch) {
		return nil
	}
	return keys.Edit(ctx, c.cfg.Keys, func(k *keys.File) error {
		for _, o := range batch {
			if o.why != 0 {
				continue
			}
			var token *tokens.Token
			if o.token != "" { // the orders before this one may have used it up
				if token, o.why = checkToken(f, o, time.Now()); o.why != 0 {
					continue
				}
				o.groups = token.Groups
			}
			if err := c.addOne(k, o); err != nil {
				return err
			}
			if o.why == 0 && token != nil {
				f.Spend(token)
			}
		}
		if f != nil {
			return f.Save()
		}
		return nil
	})
}
