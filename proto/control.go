package proto

import (
	"bytes"
	"strings"
)

// ControlPrefix begins each control message (docs/protocol.md, "Control messages").
const ControlPrefix = "#!-"

// The fixed control messages, trailing blanks included.
const (
	Startup        = "#!-agent startup "
	Shutdown       = "#!-agent shutdown "
	Ack            = "#!-agent ack "
	SyscheckNow    = "#!-syscheck restart"
	ForceReconnect = "#!-force_reconnect"
	CloseFile      = "#!-close file "
	upFile         = "#!-up file "
	request        = "#!-req "   // and a number, which the answer has too; Wazuh alone
	managerError   = "#!-err "   // and a text; Wazuh alone
	Execd          = "#!-execd " // and the command of an active response

	// What managers of ours say to agents that are (docs/protocol.md, "What ossecd does differently, and why").
	NewKey  = "#!-ossecd key "     // and a line of client.keys
	Removed = "#!-ossecd removed " // under the key that the agent had
	AnyHere = "#!-ossecd here? "   // a keepalive is wanted at once; and the word that it is to repeat, or nothing
)

// IsControl says whether a message is a control message; all others from an agent are events.
func IsControl(message []byte) bool { return bytes.HasPrefix(message, []byte(ControlPrefix)) }

// FromAgent is the kind of a control message that an agent sent.
type FromAgent uint8

// The kinds.
const (
	AgentStartup   FromAgent = iota + 1 // rest: Wazuh's JSON with the version, or nothing
	AgentKeepalive                      // rest: for ParseKeepalive
	AgentShutdown                       // it is leaving; Wazuh alone. Not answered
	AgentOther                          // answered like a keepalive, as stock managers do
)

// ParseFromAgent tells the kinds of control messages apart; rest is a part of message. Call it with what
// IsControl holds for.
func ParseFromAgent(message []byte) (kind FromAgent, rest []byte) {
	rest = message[len(ControlPrefix):]
	switch {
	case bytes.HasPrefix(message, []byte(Startup)):
		return AgentStartup, message[len(Startup):]
	case string(message) == Shutdown:
		return AgentShutdown, nil
	case bytes.IndexByte(rest, '\n') >= 0:
		return AgentKeepalive, rest
	}
	return AgentOther, rest
}

// FromManager is the kind of a message that a manager sent.
type FromManager uint8

// The kinds.
const (
	ManagerAck            FromManager = iota + 1 // rest: for ParseRun
	ManagerUpFile                                // rest: for ParseUpFile
	ManagerCloseFile                             // the pushed file ends
	ManagerChunk                                 // rest: the next piece of the pushed file; has no prefix
	ManagerExecd                                 // rest: the command
	ManagerSyscheckNow                           // run the integrity check
	ManagerForceReconnect                        // start over; Wazuh alone
	ManagerNewKey                                // rest: a line of client.keys; an ossecd alone
	ManagerRemoved                               // the agent was removed; an ossecd alone
	ManagerAnyHere                               // say a keepalive now; an ossecd alone. rest: the word that it is to repeat, or nothing
	ManagerNamed                                 // within a conversation; an ossecd alone. rest: for ParseNamed
	ManagerRequest                               // rest: for ParseRequest; Wazuh alone
	ManagerError                                 // rest: its text; Wazuh alone
	ManagerOther                                 // rest: what follows the prefix

	eitherSays = ManagerRequest // from here on an agent can say what begins so, too
)

// ParseFromManager tells the messages of a manager apart; rest is a part of message.
func ParseFromManager(message []byte) (kind FromManager, rest []byte) {
	switch {
	case !IsControl(message):
		return ManagerChunk, message
	case string(message) == Ack:
		return ManagerAck, nil
	case isAckOfRun(message):
		return ManagerAck, message[len(Ack):]
	case bytes.HasPrefix(message, []byte(upFile)):
		return ManagerUpFile, message[len(upFile):]
	case string(message) == CloseFile || string(message)+" " == CloseFile:
		return ManagerCloseFile, nil
	case bytes.HasPrefix(message, []byte(Execd)):
		return ManagerExecd, message[len(Execd):]
	case string(message) == SyscheckNow:
		return ManagerSyscheckNow, nil
	case string(message) == ForceReconnect:
		return ManagerForceReconnect, nil
	case bytes.HasPrefix(message, []byte(NewKey)):
		return ManagerNewKey, message[len(NewKey):]
	case string(message) == Removed:
		return ManagerRemoved, nil
	case bytes.HasPrefix(message, []byte(AnyHere)) && (len(message) == len(AnyHere) || isWord(message[len(AnyHere):])):
		return ManagerAnyHere, message[len(AnyHere):]
	case isNamed(message):
		return ManagerNamed, message[len(Named):]
	case bytes.HasPrefix(message, []byte(request)):
		return ManagerRequest, message[len(request):]
	case bytes.HasPrefix(message, []byte(managerError)):
		return ManagerError, message[len(managerError):]
	}
	return ManagerOther, message[len(ControlPrefix):]
}

// AppendUpFile appends the message that begins the push of a file.
func AppendUpFile(dst []byte, sum, name string) []byte {
	dst = append(dst, upFile...)
	dst = append(dst, sum...)
	dst = append(dst, ' ')
	dst = append(dst, name...)
	return append(dst, '\n')
}

// ParseUpFile reads what follows "#!-up file ": the MD5 (32 lower-case hexadecimal digits) of the file that
// comes, and its name. The name is as hostile as its sender: BaseName says whether it may be used.
func ParseUpFile(rest []byte) (sum, name string, err error) {
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	s, n, ok := bytes.Cut(line, []byte(" "))
	if !ok || !isSum(s) || len(n) == 0 || len(n) > maxFileName {
		return "", "", ErrMalformed
	}
	return string(s), string(n), nil
}

// ParseRequest reads "N TARGET COMMAND", a request of a Wazuh manager; ok is false where there is nothing to answer, as for the
// manager's own confirmation of an answer.
func ParseRequest(rest []byte) (number, command []byte, ok bool) {
	number, command, ok = bytes.Cut(rest, []byte(" "))
	hex := func(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' }
	if !ok || len(number) == 0 || len(number) > 16 || len(bytes.TrimLeftFunc(number, hex)) > 0 || string(command) == "ack" {
		return nil, nil, false
	}
	return number, command, true
}

// AppendReply appends the answer to a request: "ack", that it came, or "err " and why it is not fulfilled.
func AppendReply(dst, number []byte, text string) []byte {
	dst = append(append(dst, request...), number...)
	return append(append(dst, ' '), text...)
}

const maxFileName = 255

// BaseName says whether name may be a file in a directory of shared files: it names no other directory, is not
// hidden, and has no characters that a file system or terminal takes for something else.
func BaseName(name string) bool {
	if name == "" || len(name) > maxFileName || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c == 0x7f || strings.IndexByte(`/\:*?"<>|`, c) >= 0 {
			return false
		}
	}
	return true
}

func isSum(p []byte) bool {
	for _, c := range p {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(p) == 32
}
