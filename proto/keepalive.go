package proto

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// FileSum is a shared file as its holder reports it.
type FileSum struct {
	Sum  string // MD5, 32 lower-case hexadecimal digits; empty where the file is missing ("x" on the wire)
	Name string
}

// MergedName is the name under which all shared files are pushed as one.
const MergedName = "merged.mg"

// Keepalive is what an agent says of itself (docs/protocol.md, "Control messages").
type Keepalive struct {
	Uname     string // "SYSNAME NODENAME RELEASE VERSION MACHINE", for Windows other words
	Program   string // "NAME VERSION" of the agent
	ConfigSum string // MD5 of agent.conf, or empty
	Files     []FileSum
	Labels    []string // Wazuh's lines `"key":value`, raw, with their "#" and "!" marks
	Address   string   // Wazuh's line `#"_agent_ip":ADDRESS`: the agent's own address, or empty

	// NotifyTime is the interval at which this agent means to send keepalives. Agents of ours say it in the
	// free text at the end, which stock managers ignore; 0 from others.
	NotifyTime time.Duration
	// TakesKey offers, at the same place, to take up a new key that comes through the channel.
	TakesKey bool
	// SaysWord offers, likewise, to repeat the word that the manager asked for; Word is that one, or empty.
	SaysWord bool
	Word     string
	// Nonce offers, likewise, to take part in a conversation: it is a word that the agent chose for its socket. Empty for no such offer.
	Nonce string
}

// Bounds on what a keepalive can make us hold.
const (
	maxKeepalive      = 8_192
	maxKeepaliveLines = 64
)

const (
	notifyOffer  = "ossecd notify-time="
	keyOffer     = " takes-key"
	wordOffer    = " says-word" // and behind "=" the word, if one was asked for
	nonceOffer   = " conversation="
	addressLabel = `#"_agent_ip":`
)

// AppendKeepalive appends the message to dst. Stock OSSEC managers read its first 1,024 bytes alone, so
// Uname is cut where it would push the sums out of them.
func AppendKeepalive(dst []byte, k *Keepalive) []byte {
	dst = append(dst, ControlPrefix...)
	dst = appendLine(dst, k.Uname, 600)
	dst = append(dst, " - "...)
	dst = appendLine(dst, k.Program, 100)
	if k.ConfigSum != "" {
		dst = append(append(dst, " / "...), k.ConfigSum...)
	}
	dst = append(dst, '\n')
	for _, l := range k.Labels {
		dst = append(append(dst, l...), '\n')
	}
	for _, f := range k.Files {
		sum := f.Sum
		if sum == "" {
			sum = "x"
		}
		dst = append(append(append(append(dst, sum...), ' '), f.Name...), '\n')
	}
	if k.Address != "" {
		dst = append(append(append(dst, addressLabel...), k.Address...), '\n')
	}
	dst = append(dst, '\n')
	if k.NotifyTime > 0 {
		dst = append(dst, notifyOffer...)
		dst = strconv.AppendInt(dst, int64(k.NotifyTime/time.Millisecond), 10)
		dst = append(dst, "ms"...)
		if k.Nonce != "" {
			dst = append(append(dst, nonceOffer...), k.Nonce...)
		}
		if k.TakesKey {
			dst = append(dst, keyOffer...)
		}
		if k.SaysWord {
			dst = append(dst, wordOffer...)
			if k.Word != "" {
				dst = append(append(dst, '='), k.Word...)
			}
		}
	}
	return dst
}

// appendLine appends s, at most limit bytes of it, with line ends made blanks.
func appendLine(dst []byte, s string, limit int) []byte {
	for _, c := range []byte(s[:min(len(s), limit)]) {
		if c == '\n' || c == '\r' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// ParseKeepalive reads what follows "#!-". Nothing in it is an error but a missing line end: what it does not
// know it passes over, as stock managers do. Only the first 8,192 bytes and 64 lines are looked at.
func ParseKeepalive(rest []byte) (Keepalive, error) {
	var k Keepalive
	rest = rest[:min(len(rest), maxKeepalive)]
	line, rest, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return k, ErrMalformed
	}
	first := string(line)
	if i := strings.LastIndex(first, " / "); i >= 0 && isSum(line[i+3:]) {
		first, k.ConfigSum = first[:i], first[i+3:]
	}
	k.Uname = first
	if i := strings.LastIndex(first, " - "); i >= 0 {
		k.Uname, k.Program = first[:i], first[i+3:]
	}
	for range maxKeepaliveLines {
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
		if !ok {
			k.NotifyTime = parseNotify(line)
			if k.NotifyTime > 0 {
				k.parseOffers(line)
			}
			break
		}
		if address, ok := bytes.CutPrefix(line, []byte(addressLabel)); ok {
			k.Address = string(address)
			continue
		}
		if mark := bytes.TrimLeft(line, "#!"); len(mark) > 0 && mark[0] == '"' {
			k.Labels = append(k.Labels, string(line))
			continue
		}
		sum, name, ok := bytes.Cut(line, []byte(" "))
		if !ok || !BaseName(string(name)) {
			continue
		}
		switch {
		case isSum(sum):
			k.Files = append(k.Files, FileSum{string(sum), string(name)})
		case string(sum) == "x":
			k.Files = append(k.Files, FileSum{"", string(name)})
		}
	}
	return k, nil
}

func parseNotify(line []byte) time.Duration {
	text, ok := bytes.CutPrefix(line, []byte(notifyOffer))
	if !ok {
		return 0
	}
	text, _, _ = bytes.Cut(text, []byte(" ")) // room for what later versions offer
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Millisecond || d > 7*24*time.Hour {
		return 0
	}
	return d
}

// parseOffers reads the words behind the interval; what later versions offer is passed over.
func (k *Keepalive) parseOffers(line []byte) {
	_, words, _ := bytes.Cut(line, []byte(" "))
	for word := range bytes.SplitSeq(words, []byte(" ")) {
		name, value, valued := bytes.Cut(word, []byte("="))
		switch {
		case string(word) == keyOffer[1:]:
			k.TakesKey = true
		case string(name) == wordOffer[1:] && (!valued || isWord(value)):
			k.SaysWord, k.Word = true, string(value)
		case string(name)+"=" == nonceOffer[1:] && isWord(value):
			k.Nonce = string(value)
		}
	}
}

// Merged returns the sum of the merged file that the agent has; ok is false where it names none.
func (k *Keepalive) Merged() (sum string, ok bool) {
	for _, f := range k.Files {
		if f.Name == MergedName {
			return f.Sum, true
		}
	}
	return "", false
}
