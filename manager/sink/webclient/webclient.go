// Package webclient posts to web servers for sinks: over TLS, with credentials, compressed, with bounds on what comes back.
package webclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ossecd/keys/marked"
	"ossecd/keys/setting"
)

// Options are the keys that say how a server is reached.
type Options struct {
	URL           string
	Timeout       time.Duration     // of one request
	Headers       map[string]string // of every request
	User          string            // for basic authentication
	PasswordFile  string
	TokenFile     string // for "Authorization: TokenType TOKEN"
	TokenType     string
	Compression   string // none, gzip or zstd
	CA, Cert, Key string // files in PEM
}

const (
	maxAnswer = 1 << 20 // bytes of an answer that are looked at
	maxSecret = 4 << 10 // bytes of a file with a token or password
)

// Read reads the keys of a table that are the same for all servers.
func Read(t *setting.Table, timeout time.Duration) Options {
	o := Options{
		URL: t.String("url", ""), Timeout: t.Duration("timeout", timeout, time.Second, 5*time.Minute), Headers: t.Texts("headers"),
		User: t.String("user", ""), PasswordFile: t.String("password_file", ""),
		TokenFile: t.String("token_file", ""), TokenType: t.String("token_type", "Bearer"),
		CA: t.String("ca", ""), Cert: t.String("cert", ""), Key: t.String("key", ""),
	}
	if err := checkURL(o.URL); err != nil {
		t.Fault("url", "%w", err)
	}
	if (o.User == "") != (o.PasswordFile == "") {
		t.Fault("user", "goes with password_file; give both")
	}
	if o.User != "" && o.TokenFile != "" {
		t.Fault("token_file", "does not go with user; use one of them")
	}
	if (o.Cert == "") != (o.Key == "") {
		t.Fault("cert", "goes with key; give both")
	}
	return o
}

// checkURL says what is wrong with an address.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New(`is not the address of a web server; write it as "https://logs.example.com/in", with no password in it (password_file, token_file)`)
	}
	return nil
}

// Client posts to one server. It is for one goroutine.
type Client struct {
	o    Options
	http *http.Client
	auth string // the header

	packed bytes.Buffer
	zip    *gzip.Writer
	zst    *zstd.Encoder
}

// New reads the secrets and certificates. It connects at the first Post.
func New(o Options) (*Client, error) {
	c := &Client{o: o}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w; make it readable for this user", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(marked.Text(text)) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", o.CA)
		}
	}
	if o.Cert != "" {
		pair, err := marked.KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fmt.Errorf("cert: %w", err)
		}
		tlsConfig.Certificates = []tls.Certificate{pair}
	}
	switch {
	case o.TokenFile != "":
		token, err := ReadSecret("token_file", o.TokenFile)
		if err != nil {
			return nil, err
		}
		c.auth = o.TokenType + " " + token
	case o.User != "":
		password, err := ReadSecret("password_file", o.PasswordFile)
		if err != nil {
			return nil, err
		}
		q := http.Request{Header: make(http.Header)}
		q.SetBasicAuth(o.User, password)
		c.auth = q.Header.Get("Authorization")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxResponseHeaderBytes = 64 << 10
	c.http = &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a POST that is redirected is another request, or none
	}}
	return c, nil
}

// ReadSecret reads the first line of a file. key is what the configuration calls it.
func ReadSecret(key, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w; make it readable for this user", key, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	line := bytes.TrimSpace(marked.FirstLine(text))
	if len(line) == 0 || len(text) > maxSecret || bytes.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s: %s has no secret of printable characters in its first line; write it there", key, path)
	}
	return string(line), nil
}

// Post sends body and returns the status of the answer and its beginning, which is valid until the next call.
func (c *Client) Post(ctx context.Context, contentType string, body []byte) (status int, answer []byte, err error) {
	body, encoding := c.compress(body)
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.o.URL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range c.o.Headers {
		q.Header.Set(name, value)
	}
	q.Header.Set("Content-Type", contentType)
	q.Header.Set("User-Agent", "ossecd")
	if encoding != "" {
		q.Header.Set("Content-Encoding", encoding)
	}
	if c.auth != "" {
		q.Header.Set("Authorization", c.auth)
	}
	r, err := c.http.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address may have secrets in it
		}
		return 0, nil, err
	}
	defer r.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	return r.StatusCode, answer, err
}

func (c *Client) compress(body []byte) (packed []byte, encoding string) {
	switch c.o.Compression {
	case "gzip":
		c.packed.Reset()
		if c.zip == nil {
			c.zip = gzip.NewWriter(&c.packed)
		} else {
			c.zip.Reset(&c.packed)
		}
		c.zip.Write(body) // into memory
		c.zip.Close()
		return c.packed.Bytes(), "gzip"
	case "zstd":
		if c.zst == nil {
			c.zst, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // fails for bad options alone
		}
		return c.zst.EncodeAll(body, nil), "zstd"
	}
	return body, ""
}

// Verdict is what a status says of what was posted.
type Verdict int

// Verdicts.
const (
	Taken   Verdict = iota
	Refused         // it will never be taken
	Later           // it may be taken another time
)

// Judge reads a status: 2xx is taken; 4xx is refused, but 408 and 429 and all else are for later.
func Judge(status int) Verdict {
	switch {
	case status >= 200 && status < 300:
		return Taken
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return Later
	case status >= 400 && status < 500:
		return Refused
	}
	return Later
}

// remedies are what to do about a status that lets nothing through until somebody has mended it.
var remedies = map[int]string{
	http.StatusUnauthorized: "check token_file, or user and password_file",
	http.StatusForbidden:    "check what this token or user may do there",
	http.StatusNotFound:     "check the path in url",
}

// Remedy is what somebody has to mend before anything can be taken, if a status says so. Until then events wait.
func Remedy(status int) (text string, mendable bool) {
	text, mendable = remedies[status]
	return text, mendable
}

// Sample is the beginning of an answer, for a log.
func Sample(answer []byte) string {
	const most = 200
	return string(bytes.ToValidUTF8(answer[:min(len(answer), most)], []byte("\ufffd")))
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
