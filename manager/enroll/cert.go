package enroll

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/marked"
	"ossecd/keys/tokens"
)

// CertFile is where the certificate is: that of the configuration, or our own.
func (c *Config) CertFile() string {
	if c.Cert != "" {
		return c.Cert
	}
	return filepath.Join(c.Dir, "cert.pem")
}

func (c *Config) keyFile() string {
	if c.Key != "" {
		return c.Key
	}
	return filepath.Join(c.Dir, "key.pem")
}

// certificate is what we show to agents. Our own is made where there is none yet.
func (c *Config) certificate() (tls.Certificate, error) {
	if _, err := os.Stat(c.CertFile()); c.Cert == "" && errors.Is(err, fs.ErrNotExist) {
		if err := c.makeCertificate(); err != nil {
			return tls.Certificate{}, fmt.Errorf("enroll: make a certificate: %w; make the state directory writable for this user, or free space", err)
		}
	}
	cert, err := marked.KeyPair(c.CertFile(), c.keyFile())
	if err != nil {
		return cert, fmt.Errorf("enroll.cert: %s with %s: %w; name a certificate and its key in PEM, or remove both files to have new ones made (agents with the old fingerprint then do not trust the manager)",
			c.CertFile(), c.keyFile(), err)
	}
	return cert, nil
}

// makeCertificate makes a certificate that signs itself. The key is there before the certificate is, so that a kill between
// the two is mended by the next start.
func (c *Config) makeCertificate() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "ossecd enrolment"},
		DNSNames:              []string{host},
		NotBefore:             now.Add(-24 * time.Hour), // for agents whose clock is behind
		NotAfter:              now.Add(certFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
		mode       fs.FileMode
	}{{c.keyFile(), "PRIVATE KEY", secret, 0o600}, {c.CertFile(), "CERTIFICATE", cert, 0o644}} {
		if err := durable.ReplaceFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// tlsConfig is how we speak TLS. Nothing is resumed: an agent comes once.
func (c *Config) tlsConfig() (config *tls.Config, fingerprint string, err error) {
	cert, err := c.certificate()
	if err != nil {
		return nil, "", err
	}
	config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if c.ClientCA != "" {
		text, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, "", fmt.Errorf("enroll.client_ca: %w; name a file with certificates in PEM", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(marked.Text(text)) {
			return nil, "", fmt.Errorf("enroll.client_ca: %s has no certificate; name a file with certificates in PEM", c.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, tokens.Fingerprint(cert.Certificate[0]), nil
}
