// Package enroll gives agents their keys over TLS (docs/protocol.md, "Enrolment"; docs/security.md): whoever shows a token, a
// password or a client certificate, as the configuration asks, gets a line of the keys file.
//
//	connection ─┐ order                                     ┌─ tokens: one use less
//	connection ─┼───────▶ issuer: all that came meanwhile ──┤
//	connection ─┘            ◀── key or refusal             └─ keys file: a line more
//
// Each connection has a goroutine. The issuer is one more. It does what costs a disk sync for all orders that wait, so a thousand
// agents that come at once cost only a few syncs.
package enroll

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ossecd/keys/tokens"
)

// Config is what enrolment is told.
type Config struct {
	Listen string // "host:port", TCP; port 0 picks one; empty: no enrolment

	// What an agent must show. With both files one of the two is enough. With none of the three whoever reaches the port
	// gets a key. The files are read when they are needed: changes count at once.
	PasswordFile string // its first line is the password
	Tokens       string // file of tokens (package tokens)
	ClientCA     string // PEM; an agent must have a certificate that one of these signed

	Cert, Key string // PEM; empty: a certificate of our own, made at the first start and kept in Dir

	Names   string // glob that names must match; empty: any
	Address string // "any", the default: what the agent asks for, or else any; "source": the address it comes from
	// Duplicates is "refuse", the default, "number" or "replace-after=DURATION"; "return", alone or with a comma and one of
	// these, gives an agent that proves itself the key back that it had.
	Duplicates string

	// The manager's part.
	Keys    string                        // path of client.keys
	Dir     string                        // for what outlives the process; made (0700) where it is missing
	Silence func(id string) time.Duration // how long an agent has been away; 0 where it is there, or not known
	TakeUp  func()                        // is called when keys were added, and returns once they are in force

	policy  policy
	replace time.Duration // with replaceSilent
	returns bool          // who proves itself gets its key back
}

// Dir is what Config.Dir is within the manager's state directory.
func Dir(state string) string { return filepath.Join(state, "enroll") }

// policy is what is done about a name that is taken.
type policy uint8

const (
	refuseTaken policy = iota
	numberTaken
	replaceSilent
)

const replaceAfter = "replace-after="

// Validate reports every fault at once, each with its key. It looks at nothing outside.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Listen == "" {
		for _, f := range []struct{ key, value string }{
			{"enroll.password_file", c.PasswordFile}, {"enroll.tokens", c.Tokens}, {"enroll.client_ca", c.ClientCA},
			{"enroll.cert", c.Cert}, {"enroll.key", c.Key}, {"enroll.names", c.Names},
		} {
			if f.value != "" {
				fault("%s: goes with enroll.listen, which turns enrolment on, as in --enroll-listen :1515", f.key)
			}
		}
	} else if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		fault("enroll.listen: %q is not host:port, as in 0.0.0.0:1515, [::]:1515 or :1515", c.Listen)
	} else if _, err := net.LookupPort("tcp", port); err != nil {
		fault("enroll.listen: %q: %q is not a port; use 0 to 65535", c.Listen, port)
	}
	if (c.Cert == "") != (c.Key == "") {
		fault("enroll.cert: goes with enroll.key; give both files, or neither")
	}
	if _, err := path.Match(c.Names, ""); err != nil {
		fault("enroll.names: %q is not a pattern for names; use letters, digits, * and ?, as in web*", c.Names)
	}
	switch c.Address {
	case "", "any", "source":
	default:
		fault("enroll.address: %q is unknown; use any or source", c.Address)
	}
	duplicates := c.Duplicates
	if rest, ok := strings.CutPrefix(duplicates, "return"); ok && (rest == "" || rest[0] == ',' && len(rest) > 1) {
		c.returns, duplicates = true, strings.TrimPrefix(rest, ",")
	}
	after, replace := strings.CutPrefix(duplicates, replaceAfter)
	switch {
	case duplicates == "" || duplicates == "refuse":
		c.policy = refuseTaken
	case duplicates == "number":
		c.policy = numberTaken
	case replace:
		d, err := time.ParseDuration(after)
		if err != nil || d < minReplace {
			fault("enroll.duplicates: %q is not a time to wait; use %v or more, as in replace-after=1h", after, minReplace)
		}
		c.policy, c.replace = replaceSilent, d
	default:
		fault("enroll.duplicates: %q is unknown; use refuse, number, or replace-after=1h, with return, in front of it if agents may get their keys back", c.Duplicates)
	}
	return errors.Join(faults...)
}

// asks says whether an agent must show a password or a token.
func (c *Config) asks() bool { return c.PasswordFile != "" || c.Tokens != "" }

// checkFiles looks whether the files that are read when they are needed can be read now.
func (c *Config) checkFiles() error {
	var faults []error
	if c.PasswordFile != "" {
		_, err := readPassword(c.PasswordFile)
		faults = append(faults, err)
	}
	if c.Tokens != "" {
		if _, err := tokens.Load(c.Tokens); err != nil && !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, fmt.Errorf("enroll.tokens: %w", err))
		}
	}
	return errors.Join(faults...)
}

// Check reports what is wrong with the files of the configuration, and returns the fingerprint of the certificate, empty
// where it is still to be made. It changes nothing.
func (c *Config) Check() (fingerprint string, err error) {
	if c.Listen == "" {
		return "", nil
	}
	err = c.checkFiles()
	if _, statErr := os.Stat(c.CertFile()); c.Cert == "" && errors.Is(statErr, os.ErrNotExist) {
		return "", err
	}
	_, fingerprint, tlsErr := c.tlsConfig()
	return fingerprint, errors.Join(err, tlsErr)
}
