package sendtest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"ossecd/proto"
)

// explain says what to check after a failed hello, the likeliest first: what an experienced admin would ask.
func (s *session) explain(err error) []string {
	switch {
	case errors.Is(err, errRefused):
		return s.explainRefused()
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES):
		return []string{fmt.Sprintf("This host itself does not let the datagrams out: look at its firewall (nft list ruleset, or iptables -S OUTPUT) for udp to %v.", s.conn.RemoteAddr())}
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return []string{fmt.Sprintf("A host or router said that there is no way to %v: is the address right and the manager's host up? Look at the routes (ip route get ADDRESS), and for a firewall that rejects.", s.conn.RemoteAddr())}
	case !errors.Is(err, errNoAnswer):
		return nil // the error says it
	case s.heard.otherMethod != 0:
		return []string{fmt.Sprintf("The manager answered in %s, and a stock agent understands only its own cipher: try --crypto %s. A manager answers in the cipher of "+
			"the last message it took, so another host may use this key at the same time.", s.heard.otherMethod, s.heard.otherMethod)}
	case s.heard.otherAES:
		other := proto.Wazuh
		if s.form.Dialect == proto.Wazuh {
			other = proto.OSSEC
		}
		return []string{fmt.Sprintf("The manager answered in the other form of AES: try --dialect %s, or --crypto blowfish, which is the same in both dialects.", other)}
	case s.heard.refusal != "":
		return []string{"The manager refused the agent, in its own words: " + s.heard.refusal}
	case s.heard.sealed != nil:
		return []string{
			fmt.Sprintf("Something answered in the right cipher, and it cannot be opened with this key (%v). A manager answers only those whose key it has, so the "+
				"answer is for another agent or from another program: look whether two agents of this host, or two hosts behind one address, share the address.", s.heard.sealed),
			"Compare the key on both sides: ossecd keygen show " + s.key.ID + " here, the line of client.keys there. ID, NAME and KEY all go into the Blowfish key.",
		}
	case s.heard.stale > 0:
		return []string{"The manager answered with counts that were used before: its own counter went back (rids restored or deleted, or two managers behind one address). " +
			"Real agents refuse it too: let it count on from above, or give them new keys."}
	case s.heard.foreign > 0:
		return []string{fmt.Sprintf("Something answers at %v, and not with this protocol: is that the manager's port? A stock manager takes agents on 1514/udp (<connection>secure</connection>).", s.conn.RemoteAddr())}
	}
	return s.explainSilence()
}

func (s *session) explainRefused() []string {
	check := []string{
		fmt.Sprintf("The host is there, and nothing listens on %v/udp (or a firewall says so for it). On the manager: ss -ulpn. Is it running, on this address and port?", s.conn.RemoteAddr()),
	}
	if s.form.Dialect == proto.Wazuh {
		check = append(check, "A Wazuh manager listens on TCP alone until it is told <protocol>tcp,udp</protocol> in <remote>.")
	}
	return append(check, "A stock manager's remote daemon does not start while its client.keys is empty: its log says so.")
}

// explainSilence: the protocol answers nothing it does not believe, so everything that is wrong looks the same from
// here. What tells them apart is on the manager.
func (s *session) explainSilence() []string {
	var check []string
	if local, ok := localAddr(s.conn); ok && !s.key.Address.Contains(local) {
		check = append(check, fmt.Sprintf("Address: the key is for %v, and this host sends from %v. Unless a NAT between makes that fit, the manager refuses it. "+
			"Send from that host, or change the address of %s in the manager's client.keys (any takes all).", s.key.Address, local, s.key.ID))
	}
	check = append(check,
		fmt.Sprintf("Network: on the manager, tcpdump -ni any udp and host THIS-HOST. No datagrams: a firewall, a route, or the wrong address on the way (from here %v). "+
			"Datagrams in and answers out: the way back is blocked, or the answers leave from another address of the manager.", s.conn.LocalAddr()),
		"Key, where datagrams come in and no answer goes out: the manager's log has the reason. \"wrong key\" (stock: 1404): ID, NAME or KEY differ, compare this line with the manager's "+
			"client.keys; a stock manager must be restarted after a key was added. \"unknown ID\" or \"unknown address\" (stock: 1408, 1213): the manager has no such key, or not for the "+
			"address that it sees.",
		fmt.Sprintf("Counter: \"repeated count\" or \"old count\" (stock: 1407 duplicated, but 1404 wrong key where the global part is lower): the manager has taken a higher count than %s from this agent. "+
			"Compare rids/%s on the manager. A new key mends it; so does ossecd keygen reset-counter %s there (stock: stop it, delete that file, start it).", counterText(s.lastCount), s.key.ID, s.key.ID),
	)
	switch {
	case s.form.Method == proto.AES && s.form.Dialect == proto.OSSEC:
		check = append(check, "Cipher: OSSEC before 4.0 knows no aes, and Wazuh has another form of it: try --crypto blowfish, or --dialect wazuh.")
	case s.form.Method == proto.AES:
		check = append(check, "Cipher: OSSEC has another form of aes than Wazuh: try --crypto blowfish, or --dialect ossec.")
	default:
		check = append(check, "Cipher: the manager may be set to take aes alone (crypto_accept): try --crypto aes.")
	}
	if s.form.Dialect == proto.Wazuh {
		check = append(check, "Transport: a Wazuh manager listens on TCP alone until it is told <protocol>tcp,udp</protocol> in <remote>.")
	}
	return check
}

// explainLater says what to check when the manager answered at first and then no more.
func (s *session) explainLater(err error) []string {
	if errors.Is(err, errRefused) {
		return []string{"The manager answered and then was gone: it stopped or crashed. Look at the end of its log."}
	}
	if !errors.Is(err, errNoAnswer) {
		return nil
	}
	return []string{
		"The manager answered at first, so key, address and network are right. Loss on the way, or a manager that cannot keep up: on its host, nstat -az UdpRcvbufErrors " +
			"grows where its socket overflows.",
		"Another host that uses the same key at the same time draws the answers to itself: look at the source addresses in the manager's log.",
	}
}

func localAddr(conn net.Conn) (netip.Addr, bool) {
	u, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return u.AddrPort().Addr().Unmap(), true
}
