package marked

import (
	"crypto/tls"
	"os"
)

// KeyPair is tls.LoadX509KeyPair for files that may be marked.
func KeyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(Text(cert), Text(key))
}
