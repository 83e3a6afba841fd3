package enroll

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/marked"
	"ossecd/keys/tokens"
	"ossecd/proto"
)

const (
	// tryWithin bounds one attempt, from resolving the name to the whole answer.
	tryWithin = 30 * time.Second

	// The pause after a failed attempt doubles from the first to the last; each is drawn from three quarters to five
	// quarters, so that the agents of a manager that comes back do not all ask at once. The last is long enough not to be
	// taken for guessing.
	firstPause = time.Second
	lastPause  = time.Minute
)

// ErrNotVerified says that whoever answered is not the manager that we were told of.
var ErrNotVerified = errors.New("the manager's certificate has another fingerprint")

// Run gets a key and puts it into the keys file. It tries until that is done or ctx ends; what goes wrong is logged. With
// once the first failure is returned. A keys file that is there is left alone, and fs.ErrExist.
func Run(ctx context.Context, cfg Config, once bool, log *slog.Logger) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Insecure {
		log.Warn("the manager that gives this agent its key is not verified: whoever answers in its place knows the key",
			"remedy", "use a token with a fingerprint, --enroll-fingerprint or --enroll-ca")
	}
	pause := firstPause
	for {
		key, err := attempt(ctx, &cfg)
		if err == nil {
			log.Info("enrolled", "manager", cfg.address, "agent", key.ID, "name", key.Name, "address", key.Address.String(), "keys", cfg.Keys)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if once || errors.Is(err, errStore) || errors.Is(err, fs.ErrExist) {
			return err
		}
		wait := pause*3/4 + rand.N(pause/2)
		log.Error("no key yet", "manager", cfg.address, "err", err, "next_try_in", wait.Round(time.Millisecond).String())
		pause = min(2*pause, lastPause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// errStore says that a key could not be stored: to ask for another would not help.
var errStore = errors.New("keys")

// attempt gets a key and stores it.
func attempt(ctx context.Context, cfg *Config) (keys.Key, error) {
	if err := writable(cfg.Keys); err != nil {
		return keys.Key{}, err
	}
	key, err := ask(ctx, cfg)
	if err != nil {
		return key, fmt.Errorf("enroll at %s: %w", cfg.address, err)
	}
	if err := durable.CreateFile(cfg.Keys, []byte(key.Line()+"\n"), 0o600); err != nil {
		return key, fmt.Errorf("%w: the key of agent %s is lost: %w; remove that agent on the manager, and check that the file can be made here", errStore, key.ID, err)
	}
	return key, nil
}

// writable looks before we ask whether the key can be stored, since a token may be good for one key alone.
func writable(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s: %w; an agent that has a key needs no other: remove the file first if it does", errStore, path, fs.ErrExist)
	}
	if err := durable.CanReplace(path); err != nil {
		return fmt.Errorf("%w: %w; the directory must exist and be writable for this user", errStore, err)
	}
	return nil
}

// ask gets a key from the manager.
func ask(ctx context.Context, cfg *Config) (keys.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	config, err := cfg.tlsConfig()
	if err != nil {
		return keys.Key{}, err
	}
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", cfg.address)
	if err != nil {
		return keys.Key{}, fmt.Errorf("%w; check that the manager runs with --enroll-listen, and that no firewall is in the way", err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return keys.Key{}, handshakeError(err)
	}
	request, err := proto.AppendEnrollRequest(nil, &proto.EnrollRequest{Password: cfg.password, Name: cfg.Name})
	if err != nil {
		return keys.Key{}, fmt.Errorf("the password cannot be sent: %w", err)
	}
	if _, err := conn.Write(request); err != nil {
		return keys.Key{}, brokenOff(err)
	}
	line, err := readAnswer(conn)
	if err != nil {
		return keys.Key{}, err
	}
	conn.Close() // says that we have it
	key, err := keys.ParseLine(line)
	if err != nil {
		return keys.Key{}, fmt.Errorf("the manager sent a key that we cannot use: %w", err)
	}
	return key, nil
}

// handshakeError tells a reset connection from a refused one.
func handshakeError(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.Is(err, ErrNotVerified):
		return err
	case errors.As(err, &unknown), errors.As(err, &host):
		return fmt.Errorf("%w; check that enroll-ca has what signed the manager's certificate, and that the name is in it, or use --enroll-fingerprint", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the manager closed the connection: %w; it may have too many, or take this agent for somebody who guesses: its log says which", err)
	case isRemote(err):
		return brokenOff(err)
	}
	return fmt.Errorf("TLS: %w; check that this is the port of the enrolment", err)
}

// isRemote says whether an error is one that the manager sent over TLS.
func isRemote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// brokenOff is for a manager that took part in the handshake, or all of it, and went away before it answered. Under TLS 1.3 it looks at our
// certificate only when we have begun to speak, and may be gone before we have read what is wrong with it.
func brokenOff(err error) error {
	return fmt.Errorf("the manager broke off: %w; it may ask for a certificate, or for another one (--enroll-cert, --enroll-key): its log says which", err)
}

// readAnswer reads until the answer is whole.
func readAnswer(r io.Reader) (line string, err error) {
	buffer := make([]byte, proto.MaxEnrollAnswer)
	n := 0
	for {
		m, readErr := r.Read(buffer[n:])
		n += m
		line, err = proto.ParseEnrollAnswer(buffer[:n], readErr != nil)
		if !errors.Is(err, proto.ErrEnrollShort) {
			return line, err
		}
		switch {
		case n == 0 && errors.Is(readErr, io.EOF):
			return "", errors.New("the manager closed the connection without an answer, as stock managers do if the password is wrong, or if they want none; look at its log")
		case n == 0 && readErr != nil && !errors.Is(readErr, os.ErrDeadlineExceeded):
			return "", brokenOff(readErr)
		case readErr != nil:
			return "", fmt.Errorf("%w: %w; see the manager's log, and try again", err, readErr)
		}
	}
}

// tlsConfig is how the manager is verified, and what we show of ourselves.
func (c *Config) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.host}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("enroll_ca: %w; name a file with certificates in PEM", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(marked.Text(text)) {
			return nil, fmt.Errorf("enroll_ca: %s has no certificate; name a file with certificates in PEM", c.CA)
		}
	} else {
		config.InsecureSkipVerify = true // VerifyConnection does it, unless all of it was declined
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		got := tokens.Fingerprint(state.PeerCertificates[0].Raw)
		for _, want := range c.fingerprints {
			if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
				return fmt.Errorf("%w, %s, and not %s; compare with the one that the manager logs at its start: if they differ, somebody is between the two", ErrNotVerified, got, want)
			}
		}
		return nil
	}
	if c.Cert != "" {
		cert, err := marked.KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("enroll_cert: %w; name this agent's certificate and its key in PEM", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}
