// Package intel reads lists of addresses that nobody should talk to: local
// files, one address or network a line, as threat feeds are published.
package intel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"tidemark/profile/stamp"
)

const (
	maxEntries = 4 << 20 // of all lists; about 100 octets each
	maxLine    = 4096
	maxFaults  = 10 // of a list that are told one by one
)

// Source is a list as the configuration names it.
type Source struct {
	Name string `yaml:"name" doc:"what alerts call the list"`
	File string `yaml:"file" doc:"an address or network a line; what follows it, or stands behind # or ;, is a note. Read anew when it changes"`
}

// Entry says why an address is listed.
type Entry struct {
	List string
	Note string
}

// Lists are the lists in force. The zero value holds none.
type Lists struct {
	sources []Source
	seen    []stamp.Stamp
	entries map[netip.Prefix]Entry
	bits    map[bool][]int // by Is4: the lengths of networks that occur, longest first
}

// New names the lists; Refresh reads them.
func New(sources []Source) *Lists {
	return &Lists{sources: sources, seen: make([]stamp.Stamp, len(sources))}
}

// Validate reports every fault of the sources, each by its path below `intel`.
func Validate(sources []Source) (errs []error) {
	names := map[string]bool{}
	for i, s := range sources {
		if s.Name == "" || names[s.Name] {
			errs = append(errs, fmt.Errorf("[%d].name: got %q, want a name of its own", i, s.Name))
		}
		names[s.Name] = true
		if s.File == "" {
			errs = append(errs, fmt.Errorf("[%d].file: got none, want the path of a list", i))
		}
	}
	return errs
}

// Len is the number of addresses and networks in force.
func (l *Lists) Len() int { return len(l.entries) }

// Find returns the entry of the smallest listed network that holds a.
func (l *Lists) Find(a netip.Addr) (Entry, bool) {
	a = a.Unmap()
	for _, bits := range l.bits[a.Is4()] {
		if p, err := a.Prefix(bits); err == nil {
			if e, ok := l.entries[p]; ok {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// Refresh reads all lists anew if a file has changed, and says whether it did.
// Lines that cannot be read are told in the error and left out, the others are
// in force. A file that cannot be read, or lists that are too long together,
// leave everything as it was.
func (l *Lists) Refresh() (bool, error) {
	if l == nil || !l.changed() {
		return false, nil
	}
	fresh := Lists{entries: map[netip.Prefix]Entry{}, bits: map[bool][]int{}}
	var faults []error
	for _, s := range l.sources {
		found, err := fresh.read(s)
		if err != nil {
			l.seen = make([]stamp.Stamp, len(l.sources)) // look again next time
			return false, err
		}
		faults = append(faults, found...)
	}
	for p := range fresh.entries {
		four := p.Addr().Is4()
		if !slices.Contains(fresh.bits[four], p.Bits()) {
			fresh.bits[four] = append(fresh.bits[four], p.Bits())
		}
	}
	for _, bits := range fresh.bits {
		slices.Sort(bits)
		slices.Reverse(bits)
	}
	l.entries, l.bits = fresh.entries, fresh.bits
	return true, errors.Join(faults...)
}

// changed says whether a file is another one than at the last look.
func (l *Lists) changed() (any bool) {
	for i, s := range l.sources {
		now := stamp.Of(s.File)
		if now != l.seen[i] || now == (stamp.Stamp{}) {
			any = true
		}
		l.seen[i] = now
	}
	return any
}

// read adds the entries of one list and returns its faults.
func (l *Lists) read(s Source) (faults []error, err error) {
	f, err := stamp.Open(s.File)
	if err != nil {
		return nil, fmt.Errorf("read threat list %s: %w: the lists read before stay in force", s.Name, err)
	}
	defer f.Close()
	bad := 0
	fault := func(line int, got string) {
		if bad++; bad <= maxFaults {
			faults = append(faults, fmt.Errorf("threat list %s, line %d: got %.60q, want an address or network such as 192.0.2.1 or 2001:db8::/32", s.Name, line, got))
		}
	}
	in := bufio.NewReaderSize(f, maxLine)
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // no list, or a line that is none: skip it
			fault(number, string(line[:60]))
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
			line = nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read threat list %s: %w: the lists read before stay in force", s.Name, err)
		}
		if network, note := split(string(line)); network != "" {
			if p, ok := parse(network); !ok {
				fault(number, network)
			} else if _, known := l.entries[p]; !known {
				if len(l.entries) == maxEntries {
					return nil, fmt.Errorf("read threat list %s: more than %d entries: shorten the lists; those read before stay in force", s.Name, maxEntries)
				}
				l.entries[p] = Entry{s.Name, note}
			}
		}
		if err != nil {
			break
		}
	}
	if bad > maxFaults {
		faults = append(faults, fmt.Errorf("threat list %s: %d lines could not be read", s.Name, bad))
	}
	return faults, nil
}

// split takes a line apart: the network, and a note. Comments have no network.
func split(line string) (network, note string) {
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
	at := strings.IndexAny(line, " \t,;#|")
	if at < 0 {
		return line, ""
	}
	note = strings.Trim(line[at:], " \t,;#|\"")
	return line[:at], note[:min(len(note), 120)]
}

// parse reads an address or network. Networks that would hold half the world
// are taken for mistakes.
func parse(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}
