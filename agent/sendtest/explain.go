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
		return []string{fmt.Sprintf("This host does not let the datagrams out. Check its firewall (nft list ruleset, or iptables -S OUTPUT) for udp to %v.", s.conn.RemoteAddr())}
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return []string{fmt.Sprintf("A host or router says that there is no route to %v. Check the address, that the manager's host is up, the routes (ip route get ADDRESS), and for a firewall that rejects.", s.conn.RemoteAddr())}
	case !errors.Is(err, errNoAnswer):
		return nil // the error says it
	case s.heard.otherMethod != 0:
		return []string{fmt.Sprintf("The manager answered in %s, and a stock agent understands only its own cipher. Try --crypto %s. A manager answers in the cipher of "+
			"the last message that it accepted, so another host may use this key at the same time.", s.heard.otherMethod, s.heard.otherMethod)}
	case s.heard.otherAES:
		other := proto.Wazuh
		if s.form.Dialect == proto.Wazuh {
			other = proto.OSSEC
		}
		return []string{fmt.Sprintf("The manager answered in the other form of AES. Try --dialect %s, or --crypto blowfish, which is the same in both dialects.", other)}
	case s.heard.refusal != "":
		return []string{"The manager refused the agent, in its own words: " + s.heard.refusal}
	case s.heard.sealed != nil:
		return []string{
			fmt.Sprintf("Something answered in the right cipher, but the answer cannot be opened with this key (%v). A manager answers only agents whose key it has, so the "+
				"answer is for another agent, or from another program. Check whether two agents of this host, or two hosts behind one address, share the address.", s.heard.sealed),
			"Compare the key at both ends: ossecd keygen show " + s.key.ID + " here, and the line of client.keys there. The Blowfish key is made from ID, NAME and KEY.",
		}
	case s.heard.stale > 0:
		return []string{"The manager answered with counts that were used before: its own counter went back (rids were restored or deleted, or two managers are behind one address). " +
			"Real agents refuse it, too. Set its counter above the old one, or give them new keys."}
	case s.heard.foreign > 0:
		return []string{fmt.Sprintf("Something answers at %v, but not in this protocol. Check that this is the manager's port. A stock manager listens for agents on 1514/udp (<connection>secure</connection>).", s.conn.RemoteAddr())}
	}
	return s.explainSilence()
}

func (s *session) explainRefused() []string {
	check := []string{
		fmt.Sprintf("The host is up, but nothing listens on %v/udp (or a firewall says so). Check on the manager with ss -ulpn that it runs, on this address and port.", s.conn.RemoteAddr()),
	}
	if s.form.Dialect == proto.Wazuh {
		check = append(check, "A Wazuh manager listens on TCP only, unless <remote> has <protocol>tcp,udp</protocol>.")
	}
	return append(check, "A stock manager's remote daemon does not start while its client.keys is empty. Its log says so.")
}

// explainSilence: the protocol answers nothing it does not believe, so everything that is wrong looks the same from
// here. What tells them apart is on the manager.
func (s *session) explainSilence() []string {
	var check []string
	if local, ok := localAddr(s.conn); ok && !s.key.Address.Contains(local) {
		check = append(check, fmt.Sprintf("Address: the key is for %v, and this host sends from %v. Unless NAT on the way makes that fit, the manager refuses it. "+
			"Send from that address, or change the address of %s in the manager's client.keys (any allows all).", s.key.Address, local, s.key.ID))
	}
	check = append(check,
		fmt.Sprintf("Network: run tcpdump -ni any udp and host THIS-HOST on the manager. If no datagrams arrive, a firewall, a route or a wrong address is in the way (sent from %v). "+
			"If they arrive and answers leave, the way back is blocked, or the answers leave from another address of the manager.", s.conn.LocalAddr()),
		"Key: if datagrams arrive and no answer leaves, the manager's log has the reason. \"wrong key\" (stock: 1404): ID, NAME or KEY differ; compare this line with the manager's "+
			"client.keys. Restart a stock manager after you add a key. \"unknown ID\" or \"unknown address\" (stock: 1408, 1213): the manager has no such key, or not for the "+
			"address that it sees.",
		fmt.Sprintf("Counter: \"repeated count\" or \"old count\" (stock: 1407 duplicated, but 1404 wrong key if the global part is lower): the manager has accepted a higher count than %s from this agent. "+
			"Compare rids/%s on the manager. Make a new key, or run ossecd keygen reset-counter %s there (stock: stop it, delete that file, start it).", counterText(s.lastCount), s.key.ID, s.key.ID),
	)
	switch {
	case s.form.Method == proto.AES && s.form.Dialect == proto.OSSEC:
		check = append(check, "Cipher: OSSEC before 4.0 does not know aes, and Wazuh uses another form of it. Try --crypto blowfish, or --dialect wazuh.")
	case s.form.Method == proto.AES:
		check = append(check, "Cipher: OSSEC uses another form of aes than Wazuh. Try --crypto blowfish, or --dialect ossec.")
	default:
		check = append(check, "Cipher: the manager may accept only aes (crypto_accept). Try --crypto aes.")
	}
	if s.form.Dialect == proto.Wazuh {
		check = append(check, "Transport: a Wazuh manager listens on TCP only, unless <remote> has <protocol>tcp,udp</protocol>.")
	}
	return check
}

// explainLater says what to check when the manager answered at first and then no more.
func (s *session) explainLater(err error) []string {
	if errors.Is(err, errRefused) {
		return []string{"The manager answered, and then was gone: it stopped or crashed. Look at the end of its log."}
	}
	if !errors.Is(err, errNoAnswer) {
		return nil
	}
	return []string{
		"The manager answered at first, so key, address and network are right. Datagrams get lost on the way, or the manager cannot keep up: nstat -az UdpRcvbufErrors " +
			"on its host grows if its socket overflows.",
		"Or another host uses the same key at the same time, and gets the answers. Look at the source addresses in the manager's log.",
	}
}

func localAddr(conn net.Conn) (netip.Addr, bool) {
	u, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return u.AddrPort().Addr().Unmap(), true
}
