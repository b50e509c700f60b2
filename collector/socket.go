package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is one UDP socket with room for the datagrams of one recvmmsg(2).
type socket struct {
	conn   *net.UDPConn
	raw    syscall.RawConn
	local  netip.AddrPort
	buffer int // octets the kernel gave for datagrams waiting

	messages []message
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6
	space    []byte
	n        int
	err      syscall.Errno
	receive  func(fd uintptr) bool // made once: a closure per read would be garbage

	mu      sync.Mutex
	counter uint32 // last reading of the kernel's counter, which wraps
	dropped uint64 // sum of its steps
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

const (
	batchDatagrams = 64
	maxDatagram    = 65535
	// stride keeps the buffers apart by more than a page and not by a power of
	// two: at 64 KiB all of them would compete for the same few cache lines.
	stride = maxDatagram + 1 + 2048
)

// openSocket binds one UDP socket. The first of an address is bound without
// SO_REUSEPORT and shares it afterwards, so that a port another program holds
// is an error even if that program would share.
func openSocket(ctx context.Context, addr netip.AddrPort, first, share bool, buffer int) (*socket, error) {
	network, host := "udp", ""
	if addr.Addr().IsValid() {
		host = addr.Addr().String()
	}
	reuse := func(c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(cerr, err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if first {
			return nil
		}
		return reuse(c)
	}}
	// With an empty host, package net listens on [::] for both families and falls
	// back to 0.0.0.0 where there is no IPv6.
	pc, err := lc.ListenPacket(ctx, network, net.JoinHostPort(host, fmt.Sprint(addr.Port())))
	if err != nil {
		return nil, listenError("udp", addr, err)
	}
	s := &socket{conn: pc.(*net.UDPConn)}
	s.local = s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.raw, err = s.conn.SyscallConn(); err == nil && first && share {
		err = reuse(s.raw)
	}
	if err == nil {
		err = s.grow(buffer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up socket %s: %w", s.local, err), s.conn.Close())
	}
	s.prepare()
	return s, nil
}

// listenError says what to do about a port that cannot be had.
func listenError(transport string, addr netip.AddrPort, err error) error {
	field, ss := "collector.listen", "-lunp"
	if transport == "tcp" {
		field, ss = "collector.tcp and collector.tls.listen", "-ltnp"
	}
	name := fmt.Sprintf(":%d", addr.Port())
	if addr.Addr().IsValid() {
		name = addr.String()
	}
	hint := "see " + field
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = fmt.Sprintf("another program holds this port: `ss %s sport = :%d` names it; stop it, or choose another address in %s", ss, addr.Port(), field)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine has no such address: `ip addr` lists them; correct " + field
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port in " + field
	}
	return fmt.Errorf("listen on %s %s: %w (%s)", transport, name, err, hint)
}

// grow asks for a receive buffer: past the system's limit if we may, else up to it.
func (s *socket) grow(want int) (err error) {
	cerr := s.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, want)
		}
		// socket(7): the kernel doubles the value for its own bookkeeping, and
		// reports the doubled one.
		if err == nil {
			s.buffer, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			s.buffer /= 2
		}
	})
	return errors.Join(cerr, err)
}

func (s *socket) prepare() {
	s.space = make([]byte, batchDatagrams*stride)
	s.messages = make([]message, batchDatagrams)
	s.vectors = make([]unix.Iovec, batchDatagrams)
	s.names = make([]unix.RawSockaddrInet6, batchDatagrams)
	for i := range s.messages {
		s.vectors[i].Base = &s.space[i*stride]
		s.vectors[i].SetLen(maxDatagram)
		h := &s.messages[i].header
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
	}
	s.receive = func(fd uintptr) bool {
		for i := range s.messages {
			s.messages[i].header.Namelen = unix.SizeofSockaddrInet6
		}
		for {
			n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.messages[0])),
				batchDatagrams, unix.MSG_DONTWAIT, 0, 0)
			if e == unix.EINTR {
				continue
			}
			if s.n, s.err = int(n), e; e != 0 {
				s.n = 0
			}
			return e != unix.EAGAIN
		}
	}
}

// read waits for datagrams until the deadline of the socket and returns how
// many it read, at most batchDatagrams.
func (s *socket) read() (int, error) {
	if err := s.raw.Read(s.receive); err != nil {
		return 0, err
	}
	if s.err != 0 {
		return 0, s.err
	}
	return s.n, nil
}

// poll reads what is there without waiting.
func (s *socket) poll() (int, error) {
	err := s.raw.Control(func(fd uintptr) { s.receive(fd) })
	if err != nil {
		return 0, err
	}
	if s.err != 0 && s.err != unix.EAGAIN {
		return 0, s.err
	}
	return s.n, nil
}

// datagram returns message i of the last read; the octets are valid until the next.
func (s *socket) datagram(i int) (payload []byte, from netip.AddrPort) {
	m := &s.messages[i]
	payload = s.space[i*stride : i*stride+int(m.length)]
	name := &s.names[i]
	if name.Family == unix.AF_INET {
		p := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return payload, netip.AddrPortFrom(netip.AddrFrom4(p.Addr), port(&p.Port))
	}
	return payload, netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port(&name.Port))
}

// port reads a port, which a sockaddr holds in network order.
func port(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// memory indexes, from linux/sock_diag.h.
const (
	memoryReceive = 0 // SK_MEMINFO_RMEM_ALLOC: octets queued, with bookkeeping
	memoryDrops   = 8 // SK_MEMINFO_DROPS: what SO_RXQ_OVFL would report
	memoryFields  = 9
)

// memory asks the kernel for the datagrams it has dropped because the queue was
// full, and for the octets that wait. After close it repeats the last count.
func (s *socket) memory() (dropped uint64, waiting int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var info [memoryFields]uint32
	size := uint32(unsafe.Sizeof(info))
	cerr := s.raw.Control(func(fd uintptr) {
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
		if e != 0 {
			err = e
		}
	})
	if err = errors.Join(cerr, err); err != nil {
		return s.dropped, 0, err
	}
	s.dropped += uint64(info[memoryDrops] - s.counter)
	s.counter = info[memoryDrops]
	return s.dropped, int(info[memoryReceive]), nil
}

func (s *socket) deadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// close closes the socket after a last reading of the kernel's counter.
func (s *socket) close() error {
	_, _, _ = s.memory()
	return s.conn.Close()
}
