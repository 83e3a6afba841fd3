package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/keys/marked"
)

// Secrets say who we are to the servers, and whom of them we trust. All are optional.
type Secrets struct {
	Credentials  string // file of a JWT and its seed, as nsc makes them
	NKey         string // file of the seed of an nkey
	User         string
	PasswordFile string // its first line is User's password
	TokenFile    string // its first line is a token
	CA           string // file of certificates that vouch for the servers; "" is those of the system
	Cert, Key    string // files of our own certificate and its key
}

// CheckServer says what is wrong with the URL of a server.
func CheckServer(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return errors.New(`no URL of a server, as in "nats://192.0.2.20:4222"`)
	case u.Scheme != "nats" && u.Scheme != "tls":
		return fmt.Errorf("use nats:// or tls:// for a server, not %.20q", u.Scheme)
	case u.User != nil:
		return errors.New("there is a user in the URL; give user and password_file, or credentials, instead")
	}
	return nil
}

// tls makes what TLS needs; nil where nothing is asked for beyond tls:// in a URL.
func (s *Secrets) tls() (*tls.Config, error) {
	if s.CA == "" && s.Cert == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w; name a file of certificates that this user may read", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(marked.Text(pem)) {
			return nil, fmt.Errorf("ca: %q holds no certificate; give it as PEM", s.CA)
		}
	}
	if s.Cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // read anew, so that it can be renewed
			pair, err := marked.KeyPair(s.Cert, s.Key)
			return &pair, err
		}
		if _, err := marked.KeyPair(s.Cert, s.Key); err != nil {
			return nil, fmt.Errorf("cert: %w; name files in PEM that this user may read", err)
		}
	}
	return c, nil
}

// options are the library's of these. Files are read at each connection.
func (s *Secrets) options() (list []nats.Option, err error) {
	if s.Credentials != "" {
		list = append(list, nats.UserCredentials(s.Credentials))
	}
	if s.NKey != "" {
		o, err := nats.NkeyOptionFromSeed(s.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %w; name a file with a seed that this user may read", err)
		}
		list = append(list, o)
	}
	if s.User != "" {
		password, err := secret("password_file", s.PasswordFile)
		if err != nil {
			return nil, err
		}
		list = append(list, nats.UserInfoHandler(func() (string, string) { return s.User, password() }))
	}
	if s.TokenFile != "" {
		token, err := secret("token_file", s.TokenFile)
		if err != nil {
			return nil, err
		}
		list = append(list, nats.TokenHandler(token))
	}
	return list, nil
}

// secret reads the first line of the file that a key names, and anew each time it is asked, as the library does at each connection. A file
// that cannot be read by then says what it said.
func secret(key, path string) (func() string, error) {
	last, err := firstLine(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; name a file that this user may read", key, err)
	}
	return func() string {
		if now, err := firstLine(path); err == nil {
			last = now
		}
		return last
	}, nil
}

func firstLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(marked.FirstLine(b)), err
}

// connect makes a connection where there is none, or the library has given its one up.
func (n *NATS) connect(ctx context.Context) error {
	if n.nc != nil && !n.nc.IsClosed() {
		if !n.nc.IsConnected() {
			err := n.nc.LastError()
			if err == nil {
				err = errors.New("the connection was lost")
			}
			return fmt.Errorf("%w; check that the NATS servers run: %s", err, strings.Join(n.o.Servers, ", "))
		}
		return nil
	}
	options, err := n.o.Secrets.options()
	if err != nil {
		return err
	}
	options = append(options, nats.Name("ossecd"), nats.Timeout(connectWithin), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.IgnoreAuthErrorAbort(), // a password may be put right while we run
		nats.ReconnectBufSize(-1),   // what cannot be sent is to fail: the queue keeps it
		nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				n.log.Warn("the connection to NATS was lost; ossecd connects again", "err", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { n.log.Info("connected to NATS again", "server", c.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { n.log.Warn("NATS", "err", err) }))
	if n.tls != nil {
		options = append(options, nats.Secure(n.tls))
	}
	connected := make(chan error, 1)
	var nc *nats.Conn
	go func() {
		var err error
		nc, err = nats.Connect(strings.Join(n.o.Servers, ","), options...)
		connected <- err
	}()
	select {
	case err = <-connected:
	case <-ctx.Done():
		go func() {
			if <-connected == nil {
				nc.Close()
			}
		}()
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w; check that the NATS servers run and let this user in: %s", err, strings.Join(n.o.Servers, ", "))
	}
	n.log.Info("connected to NATS", "server", nc.ConnectedUrlRedacted())
	n.nc, n.ready = nc, false
	n.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxPending), jetstream.WithPublishAsyncTimeout(2*ackWithin))
	return err
}

// maxPending is more than is ever on its way: what is bounds the size of a write.
const maxPending = 1 << 20
