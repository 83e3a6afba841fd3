package agent

import (
	"bytes"
	"context"
	"time"

	"ossecd/proto"
)

// receive takes a message of the manager.
func (s *session) receive(ctx context.Context, in inbound) {
	if in.message == nil {
		if s.state == online {
			s.log.Debug("nobody listens there, the manager's host says", "manager", s.managers[s.manager])
			s.flight.refuse()
		}
		return
	}
	now := time.Now()
	s.heard = now
	kind, rest := proto.ParseFromManager(in.message)
	if s.state == greeting {
		if kind == proto.ManagerAck {
			s.flight.answer(now)
			s.welcome(now)
		} else if kind == proto.ManagerRemoved {
			s.complain("the manager removed this agent", "remedy", removedRemedy)
		} else if kind == proto.ManagerRequest || kind == proto.ManagerError || kind == proto.ManagerOther {
			s.unknown(now, kind, in.message, rest)
		}
		return // orders are for agents that are online
	}
	switch kind {
	case proto.ManagerAck:
		s.answered(now, rest)
	case proto.ManagerUpFile, proto.ManagerChunk, proto.ManagerCloseFile:
		s.pushPart(kind, rest, in.count)
	case proto.ManagerExecd:
		if s.mayObey(toRespond) {
			s.respond(rest)
		}
	case proto.ManagerSyscheckNow:
		if s.mayObey(toCheckFiles) {
			s.checkNow()
		}
	case proto.ManagerForceReconnect:
		if s.mayObey(toReconnect) {
			s.offline(ctx, "the manager ordered it", "none needed")
		}
	case proto.ManagerAnyHere:
		s.speakUp(now, string(rest))
	case proto.ManagerNewKey:
		s.takeKey(rest)
	case proto.ManagerRemoved:
		if s.mayObey(toReconnect) {
			s.offline(ctx, "the manager removed this agent", removedRemedy)
		}
	default:
		s.unknown(now, kind, in.message, rest)
	}
}

const removedRemedy = "if this host is to go on, give it a new key: remove the keys file, and enrol or import a key; then start the agent anew"

// respond obeys an order for an active response, or hands it to the stock program that does.
func (s *session) respond(order []byte) {
	switch {
	case s.responses != nil:
		s.responses.Order(order)
	case s.cfg.OssecHome == "":
		s.limited.Warn("an active response was ordered", "command", sample(order), "remedy", "not enabled here; nothing was run")
	default:
		if err := s.cfg.toExecd(order); err != nil {
			s.limited.Warn("an active response was ordered, and cannot be handed to the stock execd", "command", sample(order), "err", err,
				"remedy", "start ossec-execd, or enable active responses of our own: [agent.active_response]")
			return
		}
		s.log.Info("an active response was ordered, and handed to the stock execd", "command", sample(order))
	}
}

// unknown takes a control message that is no order which we know.
func (s *session) unknown(now time.Time, kind proto.FromManager, message, rest []byte) {
	wazuh := s.cfg.Dialect == proto.Wazuh
	switch {
	case wazuh && kind == proto.ManagerRequest:
		s.request(now, rest)
	case wazuh && kind == proto.ManagerError:
		s.limited.Warn("the manager reports an error", "text", sample(rest), "remedy", "look at its log")
	default:
		s.limited.Warn("an unknown order was passed over", "order", sample(bytes.TrimPrefix(message, []byte(proto.ControlPrefix))),
			"remedy", "none needed unless it was meant for another program on this host")
	}
}

// request answers a request of a Wazuh manager. Over UDP each side confirms what it got.
func (s *session) request(now time.Time, rest []byte) {
	number, command, ok := proto.ParseRequest(rest)
	if !ok || !s.mayObey(toAnswer) {
		return
	}
	s.limited.Warn("a request was refused", "request", sample(command), "remedy", "none needed: ossecd has no parts that could answer it")
	if s.write(now, proto.AppendReply(nil, number, "ack")) == nil {
		s.write(now, proto.AppendReply(nil, number, "err ossecd: not supported"))
	}
}

// sample is the beginning of foreign text, for the log.
func sample(p []byte) string { return string(p[:min(len(p), 200)]) }

// pushPart takes a message of a file push. The pieces have no numbers but their counts: one that was overtaken
// by a later one would end up in the wrong place, so it spoils the file, and the manager pushes it again.
func (s *session) pushPart(kind proto.FromManager, rest []byte, count uint64) {
	if count < s.pushed {
		s.push.Spoil()
		return
	}
	s.pushed = count
	switch kind {
	case proto.ManagerUpFile:
		sum, name, err := proto.ParseUpFile(rest)
		if err != nil {
			s.push.Spoil()
			s.limited.Warn("a pushed file was refused", "err", err, "announced", sample(rest), "remedy", "look at the shared files on the manager")
			return
		}
		if !s.mayObey(toStoreFile) {
			s.push.Spoil()
			return
		}
		s.push.Begin(sum, name)
	case proto.ManagerChunk:
		if !s.push.Chunk(rest) {
			s.limited.Warn("a piece of no file was passed over", "remedy", "none needed: the beginning of the file was lost on the way, and it is pushed again")
		}
	case proto.ManagerCloseFile:
		name, data, err := s.push.End()
		switch {
		case err != nil:
			s.limited.Warn("a pushed file was discarded", "file", name, "err", err, "remedy", "if it stays: look at the shared files on the manager, and at the network's losses; after the next keepalive it is pushed again")
		case !s.keeper.put(name, data):
			s.limited.Warn("a pushed file was discarded", "file", name, "remedy", "none needed: the one before is still being stored; after the next keepalive it is pushed again")
		}
	}
}

// stored takes what became of a pushed file.
func (s *session) stored(r stored) {
	s.keeper.busy = false
	if len(r.refused) > 0 {
		s.limited.Warn("shared files with odd names were left out", "count", len(r.refused), "first", sample([]byte(r.refused[0])), "remedy", "give them plain names on the manager")
	}
	if r.err != nil {
		s.limited.Warn("a pushed file was not stored", "file", r.name, "err", r.err)
	} else {
		s.log.Info("shared file stored", "file", r.name, "bytes", r.size)
		if s.theirs != nil {
			s.theirs.Changed()
		}
	}
	s.about.sums = r.sums
	s.about.forget()
}
