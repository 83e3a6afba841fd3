package shared

import (
	"crypto/md5"
	"encoding/hex"
	"errors"

	"ossecd/proto"
)

// Why a push came to nothing.
var (
	// ErrSum: pieces were lost, or came out of order.
	ErrSum = errors.New("the pushed file does not have the sum that was announced")
	// ErrSize: it is over proto.MaxPushed.
	ErrSize = errors.New("the pushed file is too large")
	// ErrName: Allowed does not hold for its name.
	ErrName = errors.New("the name of the pushed file is refused")
	// ErrMany: there are too many already.
	ErrMany = errors.New("too many shared files")
	// ErrNone: it was not announced, or another one was before it ended.
	ErrNone = errors.New("no file was being pushed")
)

// Push puts a pushed file together. It takes the pieces in the order in which they are given; what the network
// reordered must be given to Spoil instead. The zero value awaits a file.
type Push struct {
	name, sum string
	data      []byte
	size      int
	failed    error
}

// Active says whether a file has begun and not ended.
func (p *Push) Active() bool { return p.name != "" }

// Begin starts a file, given up whatever was before. sum is its MD5 as 32 lower-case hexadecimal digits.
func (p *Push) Begin(sum, name string) {
	*p = Push{name: name, sum: sum}
	if !Allowed(name) {
		p.fail(ErrName)
	}
}

// Chunk adds a piece. It says whether a file is being pushed.
func (p *Push) Chunk(data []byte) bool {
	if !p.Active() {
		return false
	}
	if p.size += len(data); p.size > proto.MaxPushed {
		p.fail(ErrSize)
	}
	if p.failed == nil {
		p.data = append(p.data, data...)
	}
	return true
}

// Spoil makes the file that is being pushed, if any, come to nothing: a piece of it came out of order.
func (p *Push) Spoil() {
	if p.Active() {
		p.fail(ErrSum)
	}
}

func (p *Push) fail(err error) {
	if p.failed == nil {
		p.failed = err
	}
	p.data = nil
}

// End ends the file and hands it over. The error is one of those above; the name is given with it, too.
func (p *Push) End() (name string, data []byte, err error) {
	done := *p
	*p = Push{}
	if !done.Active() {
		return "", nil, ErrNone
	}
	if done.failed != nil {
		return done.name, nil, done.failed
	}
	if sum(done.data) != done.sum {
		return done.name, nil, ErrSum
	}
	return done.name, done.data, nil
}

func sum(data []byte) string {
	s := md5.Sum(data)
	return hex.EncodeToString(s[:])
}
