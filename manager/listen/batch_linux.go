package listen

import (
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"ossecd/proto"
)

// batch is what recvmmsg(2) writes into. x/sys has no form of that call; this is the one place that goes without the
// checks of the language.
type batch struct {
	headers [BatchSize]mmsghdr
	pieces  [BatchSize]unix.Iovec
	names   [BatchSize]unix.RawSockaddrInet6 // the larger of the two kinds
	locals  [BatchSize][64]byte              // control messages, where the socket was asked for them
	data    [BatchSize][]byte
	tells   bool
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

func newBatch(tells bool) *batch {
	b := &batch{tells: tells}
	for i := range b.headers {
		b.data[i] = make([]byte, proto.MaxDatagram+1) // the system gives memory for what is used of it
		b.pieces[i].Base = &b.data[i][0]
		b.pieces[i].SetLen(len(b.data[i]))
		h := &b.headers[i]
		h.Iov = &b.pieces[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		if tells {
			h.Control = &b.locals[i][0]
		}
	}
	return b
}

// read reads as many datagrams as have come, up to len(ps) and BatchSize. Where none has it waits for one, or returns
// EAGAIN.
func (b *batch) read(fd int, ps []Datagram, wait bool) (int, error) {
	flags := unix.MSG_DONTWAIT
	if wait {
		flags = unix.MSG_WAITFORONE
	}
	most := min(len(ps), BatchSize)
	for i := range b.headers[:most] {
		h := &b.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		if b.tells {
			h.SetControllen(len(b.locals[i]))
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), uintptr(most), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for i := range ps[:n] {
		h := &b.headers[i]
		ps[i] = Datagram{Data: b.data[i][:h.n], From: b.from(i)}
		if b.tells {
			ps[i].To = parseLocal(b.locals[i][:h.Controllen])
		}
	}
	return int(n), nil
}

// from is the sender of a datagram (ip(7), ipv6(7)).
func (b *batch) from(i int) netip.AddrPort {
	name := (*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(&b.names[i]))
	port := uint16(name[2])<<8 | uint16(name[3])
	if b.names[i].Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	}
	ip := netip.AddrFrom16(b.names[i].Addr).Unmap()
	if zone := b.names[i].Scope_id; zone != 0 {
		ip = ip.WithZone(strconv.FormatUint(uint64(zone), 10))
	}
	return netip.AddrPortFrom(ip, port)
}
