package enroll

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"time"

	"ossecd/keys/marked"
	"ossecd/keys/tokens"
)

const maxCertFile = 1 << 20 // bytes

// Info is what agents can know the manager by.
type Info struct {
	Fingerprint string    `json:"fingerprint"` // SHA-256, as tokens and --enroll-fingerprint have it
	Certificate string    `json:"certificate"` // its file
	From        time.Time `json:"valid_from"`
	Until       time.Time `json:"valid_until"`
	Names       []string  `json:"names"` // for which --enroll-ca holds
}

// Info reads the certificate, which must be there already. Its key is not looked at.
func (c *Config) Info() (Info, error) {
	i := Info{Certificate: c.CertFile(), Names: []string{}}
	f, err := os.Open(i.Certificate)
	if err != nil {
		return i, fmt.Errorf("enroll.cert: %w; the manager makes its certificate at its first start with --enroll-listen, in its state directory: name that with --state", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCertFile))
	if err != nil {
		return i, fmt.Errorf("enroll.cert: %w; name a file with a certificate", err)
	}
	block, _ := pem.Decode(marked.Text(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return i, fmt.Errorf("enroll.cert: %s does not begin with a certificate in PEM; name that of the manager, usually STATE/enroll/cert.pem", i.Certificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return i, fmt.Errorf("enroll.cert: %s: %w; name that of the manager, usually STATE/enroll/cert.pem", i.Certificate, err)
	}
	i.Fingerprint, i.From, i.Until = tokens.Fingerprint(cert.Raw), cert.NotBefore.UTC(), cert.NotAfter.UTC()
	i.Names = append(i.Names, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		i.Names = append(i.Names, ip.String())
	}
	return i, nil
}
