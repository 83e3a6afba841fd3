package marked

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestKeyPair(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certText := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	for name, write := range map[string]func(string) string{
		"plain":   func(text string) string { return text },
		"Windows": func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
		"marked":  func(text string) string { return Mark + text },
		"UTF-16": func(text string) string {
			b := []byte("\xff\xfe")
			for _, u := range utf16.Encode([]rune(text)) {
				b = append(b, byte(u), byte(u>>8))
			}
			return string(b)
		},
	} {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		for file, text := range map[string]string{certFile: certText, keyFile: keyText} {
			if err := os.WriteFile(file, []byte(write(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if pair, err := KeyPair(certFile, keyFile); err != nil || len(pair.Certificate) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		for _, file := range []string{certFile, keyFile} {
			if _, err := KeyPair(file, filepath.Join(dir, "missing")); err == nil {
				t.Errorf("%s: no error without a key", name)
			}
		}
	}
}
