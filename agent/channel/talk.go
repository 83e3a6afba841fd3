package channel

import (
	"crypto/rand"

	"ossecd/proto"
)

// talk is a conversation: what a manager that is an ossecd says to the agent over one socket. The agent chooses a word, the nonce, for each socket, and
// says it in its keepalives. From the first answer on each message of the manager bears a name that is made of the nonce and of the name
// of the manager's run. So nothing counts there that was said before the socket was made, or by another manager: all managers of an
// agent use one key, and each counts by itself.
//
// The counts of its messages are judged apart from those that the agent keeps on disk, which are for managers that name no conversation:
// messages of others that were taken for theirs, before the name was known, do not make these look old. It belongs to the receiver.
type talk struct {
	nonce string // longer than a name needs, so that a keepalive is longer than its answer: no larger one goes to an address that has shown nothing
	name  string // as the manager's present run makes it; empty until one was heard
	run   string // that one

	windows map[string]*proto.Window // by name
}

// maxTalkRuns bounds the runs that one conversation may have. The next one makes a new socket necessary, and with it another conversation.
const maxTalkRuns = 64

func newTalk() *talk {
	return &talk{nonce: rand.Text() + rand.Text() + rand.Text()[:10], windows: make(map[string]*proto.Window)}
}

// begun says that the manager has named the conversation, and so names it in all that it says.
func (t *talk) begun() bool { return t.name != "" }

// accept judges a message of a conversation. run is the one that an acknowledgement names, and empty for other messages. mayBe says whether
// the manager of this socket may have that run; it is asked where the count passes. ours says whether it is this conversation, and full that
// it is, and can have no further run.
func (t *talk) accept(name, run string, count uint64, mayBe func(run string) bool) (verdict proto.Verdict, ours, full bool) {
	switch {
	case run == "" && (name != t.name || t.name == ""):
		return 0, false, false
	case run != "" && !(name == t.name && run == t.run) && name != proto.ConversationName(t.nonce, run):
		return 0, false, false
	}
	w := t.windows[name]
	if w == nil {
		if len(t.windows) == maxTalkRuns {
			return 0, true, true
		}
		w = new(proto.Window)
	}
	if verdict = w.Judge(count); !verdict.Passes() {
		return verdict, true, false
	}
	if run != "" {
		if !mayBe(run) {
			return 0, false, false
		}
		t.name, t.run, t.windows[name] = name, run, w
	}
	return w.Accept(count), true, false
}
