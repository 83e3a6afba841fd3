package proto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 the protocol prescribes this cipher
)

const (
	blowfishIV = 0xFEDCBA9876543210
	wazuhIV    = "FEDCBA0987654321"
)

// Cipher is one agent's key with the key schedules made from it. A schedule is made at its first use (about
// 40 µs and 4.2 KB for Blowfish, and one each for sealing and opening) and kept, so an agent that never speaks costs
// next to nothing. Safe for use by many goroutines.
type Cipher struct {
	key             Key
	blowfishSealing atomic.Pointer[blowfish.Cipher]
	blowfishOpening atomic.Pointer[schedule]
	aes             atomic.Pointer[cipher.Block]
}

// NewCipher returns the cipher of a key.
func NewCipher(key Key) *Cipher { return &Cipher{key: key} }

// Forget lets go of the key schedules; the next use makes them again.
func (c *Cipher) Forget() {
	c.blowfishSealing.Store(nil)
	c.blowfishOpening.Store(nil)
	c.aes.Store(nil)
}

func (c *Cipher) expandSealing() *blowfish.Cipher {
	if b := c.blowfishSealing.Load(); b != nil {
		return b
	}
	b := expandBlowfish(c.key)
	c.blowfishSealing.Store(b)
	return b
}

func (c *Cipher) expandOpening() *schedule {
	if k := c.blowfishOpening.Load(); k != nil {
		return k
	}
	b := c.blowfishSealing.Load()
	if b == nil {
		b = expandBlowfish(c.key)
	}
	k := newSchedule(b)
	c.blowfishOpening.Store(k)
	return k
}

func expandBlowfish(key Key) *blowfish.Cipher {
	b, err := blowfish.NewCipher(key[:])
	if err != nil {
		panic(err) // a key of 47 bytes is always taken
	}
	return b
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
func (c *Cipher) decryptBlowfish(dst, src []byte) { c.expandOpening().decryptCBC(dst, src, blowfishIV) }

// encryptBlowfish encrypts p, whole blocks, in place.
func (c *Cipher) encryptBlowfish(p []byte) {
	b := c.expandSealing()
	prev := uint64(blowfishIV)
	for len(p) >= 8 {
		binary.BigEndian.PutUint64(p, binary.BigEndian.Uint64(p)^prev)
		b.Encrypt(p[:8], p[:8])
		prev = binary.BigEndian.Uint64(p)
		p = p[8:]
	}
}

// decryptAES decrypts src, whole blocks, into dst of the same length with Wazuh's fixed IV. What was sealed
// with its IV in front comes out right from the second block on: in CBC the IV bears on the first block alone,
// and that block is then the IV itself.
func (c *Cipher) decryptAES(dst, src []byte) {
	b := c.expandAES()
	for i := 0; i < len(src); i += 16 {
		out := dst[i : i+16]
		b.Decrypt(out, src[i:i+16])
		if i > 0 {
			subtle.XORBytes(out, out, src[i-16:i])
		}
	}
	for i := range min(len(dst), 16) {
		dst[i] ^= wazuhIV[i]
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
