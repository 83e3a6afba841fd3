// Package enroll gets an agent its key: over TLS from the manager's enrolment (docs/protocol.md, "Enrolment"), an ossecd's
// or a stock one. The manager is verified before anything is said to it.
package enroll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"ossecd/keys"
	"ossecd/keys/marked"
	"ossecd/keys/tokens"
)

// Config says how an agent gets its key.
type Config struct {
	Manager string // HOST or HOST:PORT of the enrolment; the port is 1515 if not given
	Keys    string // path of the file to put the key line in; never overwritten

	// What we show, at most one of the three; none where the manager asks for none.
	Token        string
	TokenFile    string // its first line is the token
	PasswordFile string // its first line is the password

	Name string // default: the host's name

	// How we know the manager: all that is given must hold. A token can carry a fingerprint, too.
	Fingerprint string // SHA-256 of its certificate, hexadecimal
	CA          string // PEM; the manager's certificate must be signed by one of these, for the host's name
	Insecure    bool   // with nothing of the above: talk to whoever answers

	Cert, Key string // PEM; our own certificate, for a manager that asks for one

	// Dial connects; default: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	fingerprints []string // that must all be the manager's
	password     string   // to send
	host         string   // of Manager
	address      string   // host:port
}

const (
	defaultPort = "1515"
	maxSecret   = 4096 // bytes of a token's or password's file that are read
)

// Validate fills in defaults and reports all faults at once, each with its key. It reads the files of token and password;
// that they cannot be read is a fault.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	var err error
	if c.host, c.address, err = addressOf(c.Manager); err != nil {
		faults = append(faults, err)
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname()
		if err := keys.CheckName(c.Name); err != nil {
			fault("enroll_name: none given, and this host's name cannot be used: %w", err)
		}
	} else if err := keys.CheckName(c.Name); err != nil {
		fault("enroll_name: %w", err)
	}
	if (c.Cert == "") != (c.Key == "") {
		fault("enroll_cert: goes with enroll_key; give both files, or neither")
	}
	if err := c.readSecret(); err != nil {
		faults = append(faults, err)
	}
	if c.Fingerprint != "" {
		f, err := tokens.ParseFingerprint(c.Fingerprint)
		if err != nil {
			fault("enroll_fingerprint: %.100q %w", c.Fingerprint, err)
		}
		c.fingerprints = append(c.fingerprints, f)
	}
	known := len(c.fingerprints) > 0 || c.CA != ""
	if !known && !c.Insecure && len(faults) == 0 { // the fault may be what hides the fingerprint
		fault("enroll: nothing says how to know the manager; use a token with a fingerprint in it, --enroll-fingerprint, --enroll-ca, or, if you trust the network, --enroll-insecure")
	}
	if known && c.Insecure {
		fault("enroll_insecure: cannot stand beside a fingerprint or enroll_ca; leave it out")
	}
	return errors.Join(faults...)
}

// readSecret finds what we show to the manager.
func (c *Config) readSecret() error {
	c.password, c.fingerprints = "", nil
	n := 0
	for _, s := range []string{c.Token, c.TokenFile, c.PasswordFile} {
		if s != "" {
			n++
		}
	}
	if n > 1 {
		return errors.New("enroll: more than one of token, token file and password file; give one of them")
	}
	var err error
	token := c.Token
	switch {
	case c.TokenFile != "":
		if token, err = firstLine(c.TokenFile); err != nil {
			return fmt.Errorf("enroll_token_file: %w", err)
		}
	case c.PasswordFile != "":
		if c.password, err = firstLine(c.PasswordFile); err != nil {
			return fmt.Errorf("enroll_password_file: %w", err)
		}
		return nil
	case token == "":
		return nil
	}
	text, err := tokens.Parse(strings.TrimSpace(token))
	if err != nil {
		return fmt.Errorf("enroll token: %w", err)
	}
	c.password = text.Password()
	if f := text.Fingerprint(); f != "" {
		c.fingerprints = append(c.fingerprints, f)
	}
	return nil
}

// firstLine is the first line of a file, which must have something in it.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w; name a file that this user may read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("%w; name a file that this user may read", err)
	}
	line := string(marked.FirstLine(text))
	if line == "" || len(text) == maxSecret {
		return "", fmt.Errorf("%s has nothing usable in its first line; put the token or the password there, of less than %d bytes", path, maxSecret)
	}
	return line, nil
}

// addressOf takes HOST or HOST:PORT apart. An IPv6 address may stand with or without brackets; with a port it needs them.
func addressOf(manager string) (host, address string, err error) {
	host, port := manager, defaultPort
	switch {
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.HasPrefix(host, "[") || strings.Count(host, ":") == 1:
		if host, port, err = net.SplitHostPort(manager); err != nil {
			return "", "", fmt.Errorf("enroll: %q is not HOST or HOST:PORT; write an IPv6 address with a port as [2001:db8::1]:1515", manager)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("enroll: %q: the port %q is not a number from 1 to 65535", manager, port)
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return "", "", fmt.Errorf("enroll: %q names no host; write HOST or HOST:PORT", manager)
	}
	return host, net.JoinHostPort(host, port), nil
}
