package collector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// teeTarget is another collector that gets every datagram we take. It sees our
// address as the source: keeping the exporter's would need a raw socket, and the
// privilege that goes with it.
type teeTarget struct {
	address       string
	sent, dropped atomic.Uint64 // datagrams
}

// forwarder sends what one reader received to one target, from where it was
// received to: nothing is copied, nothing queued. What the kernel does not take
// at once is dropped and counted.
type forwarder struct {
	target   *teeTarget
	conn     *net.UDPConn
	raw      syscall.RawConn
	messages []message
	vectors  []unix.Iovec
	n        int // messages filled
	first    int // of them, not yet taken by the kernel
	errno    syscall.Errno
	send     func(fd uintptr) // made once: a closure per read would be garbage
}

// teeBuffer is asked of the kernel for what waits to leave by the network; the
// loopback interface does not queue.
const teeBuffer = 4 << 20

func newForwarder(t *teeTarget) (*forwarder, error) {
	conn, err := net.Dial("udp", t.address)
	if err != nil {
		return nil, fmt.Errorf("forward to collector.tee %s: %w (want host:port of another collector)", t.address, err)
	}
	f := &forwarder{target: t, conn: conn.(*net.UDPConn), messages: make([]message, batchDatagrams), vectors: make([]unix.Iovec, batchDatagrams)}
	_ = f.conn.SetWriteBuffer(teeBuffer) // the kernel gives what it allows
	if f.raw, err = f.conn.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("forward to collector.tee %s: %w", t.address, err), conn.Close())
	}
	for i := range f.messages {
		f.messages[i].header.Iov = &f.vectors[i]
		f.messages[i].header.SetIovlen(1)
	}
	f.send = func(fd uintptr) {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&f.messages[f.first])),
			uintptr(f.n-f.first), unix.MSG_DONTWAIT, 0, 0)
		if f.errno = e; e == 0 {
			f.first += int(n)
		}
	}
	return f, nil
}

// add appends a datagram; the octets must stay as they are until flush.
func (f *forwarder) add(payload []byte) {
	v := &f.vectors[f.n]
	v.Base = unsafe.SliceData(payload)
	v.SetLen(len(payload))
	f.n++
}

// flush hands the datagrams to the kernel. It does not wait.
func (f *forwarder) flush() {
	dropped := 0
	for f.first = 0; f.first < f.n; {
		if err := f.raw.Control(f.send); err != nil {
			dropped += f.n - f.first // closed
			break
		}
		switch f.errno {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			dropped, f.first = dropped+f.n-f.first, f.n
		default: // this one: nobody listens (an ICMP message told the kernel), no route, too long
			dropped, f.first = dropped+1, f.first+1
		}
	}
	f.target.sent.Add(uint64(f.n - dropped))
	f.target.dropped.Add(uint64(dropped))
	f.n = 0
}

// openTees opens a forwarder per reader and target.
func (c *Collector) openTees(readers []*reader) error {
	for _, r := range readers {
		for _, t := range c.tees {
			f, err := newForwarder(t)
			if err != nil {
				return err
			}
			r.forwarders = append(r.forwarders, f)
			if err := notOurselves(f, readers); err != nil {
				return err
			}
		}
	}
	for _, t := range c.tees {
		c.deps.Log.Info().Str("target", t.address).Msg("forwarding every datagram taken; it will seem to come from this machine")
	}
	return nil
}

// notOurselves refuses a target that is one of our own sockets: each datagram
// would go round for ever.
func notOurselves(f *forwarder, readers []*reader) error {
	local, remote := addrPort(f.conn.LocalAddr()), addrPort(f.conn.RemoteAddr())
	if local.Addr() != remote.Addr() && !remote.Addr().IsLoopback() {
		return nil // another machine
	}
	for _, r := range readers {
		own := r.socket.local
		if own.Port() == remote.Port() && (own.Addr().IsUnspecified() || own.Addr().Unmap() == remote.Addr()) {
			return fmt.Errorf("collector.tee %s is this collector's own socket %s: every datagram would come back for ever", f.target.address, own)
		}
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// tee forwards the n datagrams of the last read, but for those of strangers: we
// are nobody's relay.
func (r *reader) tee(n int) {
	if len(r.forwarders) == 0 {
		return
	}
	for i := range n {
		payload, from := r.socket.datagram(i)
		if len(payload) == 0 || r.source(from.Addr()).refused {
			continue
		}
		for _, f := range r.forwarders {
			f.add(payload)
		}
	}
	for _, f := range r.forwarders {
		f.flush()
	}
}
