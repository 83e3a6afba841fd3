package sendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"ossecd/agent/transport"
	"ossecd/proto"
)

// explain says what to check after a failed hello, the likeliest first: what an experienced admin would ask.
func (s *session) explain(err error) []string {
	switch {
	case errors.Is(err, errRefused):
		return s.explainRefused()
	case errors.Is(err, errClosed):
		return s.explainClosed()
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

// explainDial says what to check where there is no connection to begin with.
func (j *job) explainDial(ctx context.Context, err error, c counts, b *bench) []string {
	switch {
	case j.address.Network != transport.TCP:
		return nil
	case errors.Is(err, errRefused):
		check := j.tryOtherWay(ctx, err, c, b)
		return append(check,
			fmt.Sprintf("The host is up, but nothing listens on %s/tcp (or a firewall says so). Check on the manager with ss -tlpn that it runs, on this address and port.", j.address.HostPort),
			"An OSSEC server takes UDP only: name it as udp://"+j.address.HostPort+". A Wazuh manager needs <protocol>tcp</protocol> in its <remote>, which is the default; ossecd needs --listen tcp://:1514, if there is any --listen.",
			"A Wazuh manager does not listen until its configuration is in order. Its log says so.")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return append(j.tryOtherWay(ctx, err, c, b), fmt.Sprintf("No host answers at %s. Check the address, that the manager's host is up, and for a firewall that drops tcp port 1514 on the way.", j.address.HostPort))
	}
	return nil
}

// otherWayWithin bounds the look at the other transport.
const otherWayWithin = 2 * time.Second

// tryOtherWay says whether the manager answers over the other transport, after it did not over the one that was asked for.
func (j *job) tryOtherWay(ctx context.Context, err error, c counts, b *bench) []string {
	other := transport.Address{Network: transport.TCP, HostPort: j.address.HostPort}
	if j.address.Network == transport.TCP {
		other.Network = transport.UDP
	}
	if ctx.Err() != nil || !errors.Is(err, errRefused) && !errors.Is(err, errNoAnswer) && !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, otherWayWithin)
	defer cancel()
	conn, err := dial(ctx, j.keys[0], other)
	if err != nil {
		return nil
	}
	defer conn.Close()
	s := newSession(j.keys[0], conn, c, j.target)
	s.bench = b
	if _, err := s.startup(); err == nil {
		if _, err = s.ack(ctx, time.Now().Add(otherWayWithin)); err == nil {
			return []string{fmt.Sprintf("The manager answers this agent over %s, and not over %s: name it as %v.", strings.ToUpper(other.Network), strings.ToUpper(j.address.Network), other)}
		}
	}
	if other.Network == transport.TCP {
		return []string{fmt.Sprintf("Something listens there on TCP. If that is a Wazuh manager, which takes TCP only by default, use --manager %v --dialect wazuh.", other)}
	}
	return nil
}

// explainClosed: the other end took the connection and closed it. A Wazuh manager does so with each message that it does not take, and so does
// ossecd with what it cannot open.
func (s *session) explainClosed() []string {
	check := []string{
		"The other end took the connection and closed it when it had read the first message, so network and port are right. Its log says why.",
		fmt.Sprintf("Key: ID, NAME or KEY differ, or the manager has no key for this agent, or not for the address that it sees (this host sends from %v). Compare "+
			"ossecd keygen show %s here with the line of client.keys there.", s.conn.LocalAddr(), s.key.ID),
		"In use: if the manager's log says that the key is already in use, another connection uses it. Stop the agent on the other host, or give each host a key of its own. " +
			"A Wazuh manager also says so for a minute after a connection was cut.",
	}
	if s.form.Method == proto.AES {
		check = append(check, "Cipher: OSSEC and Wazuh use different forms of aes. Try --dialect wazuh or --dialect ossec, or --crypto blowfish, which is the same in both.")
	} else {
		check = append(check, "Cipher: the manager may accept only aes. Try --crypto aes.")
	}
	return append(check, "Proxy: if a proxy or a load balancer stands in front, see whether it has a manager behind it that is up. It must pass TCP on as it is, without TLS or HTTP.")
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
		fmt.Sprintf("Network: run tcpdump -ni any %s port 1514 and host THIS-HOST on the manager. If nothing arrives, a firewall, a route or a wrong address is in the way (sent from %v). "+
			"If they arrive and answers leave, the way back is blocked, or the answers leave from another address of the manager.", s.conn.LocalAddr().Network(), s.conn.LocalAddr()),
		"Key: if messages arrive and no answer leaves, the manager's log has the reason. \"wrong key\" (stock: 1404): ID, NAME or KEY differ; compare this line with the manager's "+
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
	if s.form.Dialect == proto.Wazuh && !s.overTCP() {
		check = append(check, "Transport: a Wazuh manager listens on TCP only, unless <remote> has <protocol>tcp,udp</protocol>.")
	}
	return check
}

// explainLater says what to check when the manager answered at first and then no more.
func (s *session) explainLater(err error) []string {
	if errors.Is(err, errRefused) || errors.Is(err, errClosed) {
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
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return at.Addr().Unmap(), err == nil
}

func (s *session) overTCP() bool { return s.conn.LocalAddr().Network() == transport.TCP }
