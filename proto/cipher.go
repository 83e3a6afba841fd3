package proto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"sync/atomic"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 the protocol prescribes this cipher
)

const blowfishIV = 0xFEDCBA9876543210

var wazuhIV = []byte("FEDCBA0987654321")

// Cipher is one agent's key with the key schedules made from it. A schedule is made at its first use (about
// 50 µs and 4.2 KB for Blowfish) and kept, so an agent that never speaks costs next to nothing. Safe for use by many
// goroutines. Nobody negotiates the cipher: a message shows its Method, and the answer uses the same.
type Cipher struct {
	key      Key
	blowfish atomic.Pointer[schedule]
	aes      atomic.Pointer[cipher.Block]
}

// NewCipher returns the cipher of a key.
func NewCipher(key Key) *Cipher { return &Cipher{key: key} }

func (c *Cipher) expandBlowfish() *schedule {
	if k := c.blowfish.Load(); k != nil {
		return k
	}
	b, err := blowfish.NewCipher(c.key[:])
	if err != nil {
		panic(err) // a key of 47 bytes is always taken
	}
	k := newSchedule(b)
	c.blowfish.Store(k)
	return k
}

func (c *Cipher) expandAES() cipher.Block {
	if b := c.aes.Load(); b != nil {
		return *b
	}
	b, err := aes.NewCipher(c.key[:32])
	if err != nil {
		panic(err) // a key of 32 bytes is always taken
	}
	c.aes.Store(&b)
	return b
}

// CBC is written out below and in blowfish.go since crypto/cipher's allocates for every message (3 times for Blowfish).

// decryptBlowfish decrypts src, whole blocks, into dst of the same length, which must not overlap it.
func (c *Cipher) decryptBlowfish(dst, src []byte) {
	c.expandBlowfish().decryptCBC(dst, src, blowfishIV)
}

// encryptBlowfish encrypts p, whole blocks, in place.
func (c *Cipher) encryptBlowfish(p []byte) { c.expandBlowfish().encryptCBC(p, blowfishIV) }

// decryptAES decrypts src, whole blocks, chained to iv, into dst of the same length, which must not overlap it.
func (c *Cipher) decryptAES(dst, src, iv []byte) {
	b := c.expandAES()
	for ; len(src) >= 16; src, dst = src[16:], dst[16:] {
		b.Decrypt(dst, src)
		subtle.XORBytes(dst[:16], dst[:16], iv)
		iv = src[:16]
	}
}

// encryptAES encrypts p, whole blocks, in place, chained to iv.
func (c *Cipher) encryptAES(p []byte, iv []byte) {
	b := c.expandAES()
	for ; len(p) >= 16; p = p[16:] {
		subtle.XORBytes(p[:16], p[:16], iv)
		b.Encrypt(p[:16], p[:16])
		iv = p[:16]
	}
}
