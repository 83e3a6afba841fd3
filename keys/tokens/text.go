// Package tokens has the tokens with which agents get keys by themselves (docs/decisions/enrolment.md): their form, and the
// manager's file of those that it accepts.
package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
)

// Text is a token as an agent gets it: "oe1_SECRET", or "oe1_SECRET_FINGERPRINT". Printing one shows its secret.
type Text struct {
	secret      string // 26 letters and digits
	fingerprint string // of the manager's certificate, 64 hexadecimal digits; may be empty
}

// Stock agents send the first 32 bytes of a password: what counts of a token is shorter.
const (
	prefix    = "oe1_" // the 1 is the version
	secretLen = 26     // letters and digits: 128 bits
)

// encoding has no character that is easily taken for another, or that a shell knows.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var (
	errText        = errors.New("this is not a token; use the whole text that ossecd keygen token add printed")
	errFingerprint = errors.New("is not a fingerprint; use the SHA-256 of the manager's certificate, 64 hexadecimal digits, as the manager logs it when it starts")
)

// New makes a token for a manager whose certificate has the fingerprint, which may be empty.
func New(fingerprint string) Text {
	var b [16]byte
	rand.Read(b[:])
	return Text{encoding.EncodeToString(b[:]), fingerprint}
}

// IsToken says whether s is meant as a token, and not as a password.
func IsToken(s string) bool { return strings.HasPrefix(s, prefix) }

// Parse reads a token. The error does not show it.
func Parse(s string) (Text, error) {
	rest, ok := strings.CutPrefix(s, prefix)
	secret, fingerprint, more := strings.Cut(rest, "_")
	if !ok || !isSecret(secret) || more && !isHex(fingerprint, sha256.Size) {
		return Text{}, errText
	}
	return Text{secret, fingerprint}, nil
}

func isSecret(s string) bool {
	return len(s) == secretLen && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// sent is what counts of a token that an agent sent, in which the fingerprint may stand, and may be cut off.
func sent(s string) (password string, ok bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	secret, _, _ := strings.Cut(rest, "_")
	return prefix + secret, ok && isSecret(secret)
}

// isHex says whether s is so many bytes in lower-case hexadecimal digits.
func isHex(s string, bytes int) bool {
	return len(s) == 2*bytes && strings.Trim(s, "0123456789abcdef") == ""
}

// String is the token whole, as it is handed to an agent.
func (t Text) String() string {
	if t.fingerprint == "" {
		return t.Password()
	}
	return t.Password() + "_" + t.fingerprint
}

// Password is what an agent sends in place of a password: the token without the fingerprint.
func (t Text) Password() string { return prefix + t.secret }

// Fingerprint is that of the manager's certificate, empty where the token has none.
func (t Text) Fingerprint() string { return t.fingerprint }

// Fingerprint is the SHA-256 of a certificate in DER, as 64 lower-case hexadecimal digits.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// ParseFingerprint takes a fingerprint in either case, with or without colons between the bytes.
func ParseFingerprint(s string) (string, error) {
	f := strings.ToLower(strings.ReplaceAll(s, ":", ""))
	if !isHex(f, sha256.Size) {
		return "", errFingerprint
	}
	return f, nil
}
