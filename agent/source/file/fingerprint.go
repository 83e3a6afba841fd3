package file

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// headSize is how many bytes at the beginning of a file tell it from others.
const headSize = 256

// fingerprint is a digest of the first n bytes of a file, n being at most headSize. The zero value, of an empty
// file, fits every file.
type fingerprint struct {
	n   int
	sum [16]byte
}

func fingerprintOf(head []byte) fingerprint {
	if len(head) == 0 {
		return fingerprint{}
	}
	sum := sha256.Sum256(head)
	return fingerprint{n: len(head), sum: [16]byte(sum[:16])}
}

// fits says that a file with this head may be the one that p was taken of.
func (p fingerprint) fits(head []byte) bool {
	return len(head) >= p.n && fingerprintOf(head[:p.n]) == p
}

func (p fingerprint) String() string {
	if p.n == 0 {
		return ""
	}
	return hex.EncodeToString(p.sum[:])
}

// parse reads what String wrote, for a head of n bytes.
func (p *fingerprint) parse(text string, n int) bool {
	*p = fingerprint{n: n}
	if n == 0 {
		return text == ""
	}
	if n < 0 || n > headSize || len(text) != 2*len(p.sum) {
		return false
	}
	_, err := hex.Decode(p.sum[:], []byte(text))
	return err == nil
}

// readHead reads the beginning of a file into buf, which has headSize bytes.
func readHead(r io.ReaderAt, buf []byte) ([]byte, error) {
	n, err := r.ReadAt(buf[:headSize], 0)
	if err == io.EOF {
		err = nil
	}
	return buf[:n], err
}
