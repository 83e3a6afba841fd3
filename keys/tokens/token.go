package tokens

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"ossecd/keys"
)

// Token is what the manager knows of a token. It cannot be used to enrol.
type Token struct {
	Sum     [sha256.Size]byte // of what the agent sends
	Uses    int               // how often it may be used yet, or Unlimited
	Expires time.Time         // UTC, to the second; zero: never
	Names   string            // the glob that an agent's name must match; "*" is any
	Groups  string            // that its agents are put into, with commas between them; empty: none
}

// Unlimited is the number of uses of a token without a limit.
const Unlimited = -1

// Limits of a token.
const (
	MaxUses  = 1_000_000
	maxNames = 128 // bytes
)

// Why a token is not honoured.
var (
	ErrUnknown = errors.New("unknown token")
	ErrUsedUp  = errors.New("token used up")
	ErrExpired = errors.New("token expired")
	ErrName    = errors.New("token for other names")
)

// ID is a short name for the token, which gives nothing away: the first 8 digits of its sum.
func (t *Token) ID() string { return hex.EncodeToString(t.Sum[:4]) }

// Check says why the token cannot give an agent of that name a key now, if so.
func (t *Token) Check(name string, now time.Time) error {
	switch {
	case t.Uses == 0:
		return ErrUsedUp
	case t.expired(now):
		return ErrExpired
	}
	if ok, err := path.Match(t.Names, name); err != nil || !ok {
		return ErrName
	}
	return nil
}

func (t *Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// CheckNames says what is wrong with a glob for agents' names.
func CheckNames(glob string) error {
	_, err := path.Match(glob, "")
	if glob == "" || len(glob) > maxNames || err != nil || strings.ContainsFunc(glob, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return fmt.Errorf("%.140q is not a pattern for names; use letters, digits, * and ?, as in web*", glob)
	}
	return nil
}

// none stands in a line for what is not limited.
const none = "-"

// line is the token as its file has it: "SUM USES EXPIRES NAMES", and " GROUPS" where it has some.
func (t *Token) line() string {
	uses, expires := none, none
	if t.Uses != Unlimited {
		uses = strconv.Itoa(t.Uses)
	}
	if !t.Expires.IsZero() {
		expires = t.Expires.Format(time.RFC3339)
	}
	text := hex.EncodeToString(t.Sum[:]) + " " + uses + " " + expires + " " + t.Names
	if t.Groups != "" {
		text += " " + t.Groups
	}
	return text
}

var errLine = errors.New("want four fields or five with single blanks between them: SHA256 USES EXPIRES NAMES GROUPS, as ossecd keygen token add writes them")

// parseLine reads what line writes.
func parseLine(line string) (Token, error) {
	f := strings.Split(line, " ")
	if len(f) != 4 && len(f) != 5 {
		return Token{}, errLine
	}
	t := Token{Uses: Unlimited, Names: f[3]}
	if len(f) == 5 {
		t.Groups = f[4]
		if groups, err := keys.ParseGroups(t.Groups); err != nil || strings.Join(groups, ",") != t.Groups {
			return t, fmt.Errorf("%.40q is not a sorted list of groups, separated by commas; %w", t.Groups, errLine)
		} else if len(groups) == 0 {
			return t, errLine
		}
	}
	if !isHex(f[0], sha256.Size) {
		return t, fmt.Errorf("%.70q is not a SHA-256; %w", f[0], errLine)
	}
	if _, err := hex.Decode(t.Sum[:], []byte(f[0])); err != nil {
		return t, err
	}
	if f[1] != none {
		n, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil || n > MaxUses {
			return t, fmt.Errorf("%.20q is not a number of uses; write 0 to %d, or - for any number", f[1], MaxUses)
		}
		t.Uses = int(n)
	}
	if f[2] != none {
		var err error
		t.Expires, err = time.Parse(time.RFC3339, f[2])
		if year := t.Expires.UTC().Year(); err != nil || year < 1 || year > 9999 || t.Expires.IsZero() { // else it could not be written again
			return t, fmt.Errorf("%.40q is not a time; write it as 2026-12-24T18:00:00Z, or - for never", f[2])
		}
		t.Expires = t.Expires.UTC().Truncate(time.Second)
	}
	return t, CheckNames(t.Names)
}
