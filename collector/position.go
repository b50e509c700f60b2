package collector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

// position is how far a stream was followed: what is needed to tell, after a
// restart of the collector, what its exporter sent meanwhile.
type position struct {
	received, export int64  // of the last datagram, by our clock and by the exporter's
	uptime           uint32 // ms
	before, within   place  // under either reading of the numbers, see sequence
	fitBefore        uint16
	fitWithin        uint16
}

// place is where a track stands.
type place struct {
	next uint32
	open bool
}

// position returns that of s, whose last datagram was received then.
func (s *sequence) position(received int64) position {
	p := position{
		received: received, export: s.before.last.export, uptime: s.before.last.uptime,
		before:    place{s.before.next, s.before.open},
		fitBefore: uint16(s.fitBefore), fitWithin: uint16(s.fitWithin),
	}
	if s.within != nil {
		p.within = place{s.within.next, s.within.open}
	}
	return p
}

// resume takes the numbers up where the process before left them; r is the first
// datagram since. An exporter that began another life meanwhile begins anew.
func (p *position) resume(r *flow.Result, received int64) (s sequence) {
	s.fitBefore, s.fitWithin = int(p.fitBefore), int(p.fitWithin)
	if hasUptime(r.Protocol) && p.rebooted(r, received) {
		return s
	}
	s.before = p.track(p.before)
	if r.Protocol == flow.IPFIX {
		within := p.track(p.within)
		s.within = &within
	}
	return s
}

func (p *position) track(at place) track {
	return track{begun: true, away: true, open: at.open, next: at.next, first: at.next,
		last: header{export: p.export, uptime: p.uptime}}
}

// rebooted reports whether the exporter was booted at another time than the one
// that was followed: by its own clock, or by ours if it sends none. In doubt it
// was, and nothing is claimed to be lost.
func (p *position) rebooted(r *flow.Result, received int64) bool {
	was, is := p.export, r.ExportTime
	if was == 0 || is == 0 {
		was, is = p.received, received
	}
	const wrap = 1 << 32 * int64(time.Millisecond) // sysUptime wraps after 2^32 ms
	const drift = 10_000                           // an uptime and a clock part by less than one second in this many
	d := abs(is-was-(int64(r.UptimeMs)-int64(p.uptime))*int64(time.Millisecond)) % wrap
	return min(d, wrap-d) > bootJitter+abs(is-was)/drift
}

// handed notes that the rows of all that came by these streams were taken.
func (a *accounts) handed(streams []*stream) {
	if len(streams) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range streams {
		if s.handed == nil {
			s.handed = new(position)
		}
		*s.handed, s.ahead = s.sequence.position(s.lastSeen), false
	}
}

// positions returns how far every stream was handed over. Exporters that have
// not been heard since the process before keep their place.
func (a *accounts) positions() map[streamKey]position {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[streamKey]position, len(a.streams.m))
	for k, s := range a.streams.m {
		if s.handed != nil {
			out[k] = *s.handed
		}
	}
	return out
}

// positionLife is how long a silent exporter's place is kept: its port may come
// to belong to another process, with other numbers.
const positionLife = 7 * 24 * time.Hour

func (a *streams) restore(positions map[streamKey]position, now int64) {
	for k, p := range positions {
		if age := now - p.received; age >= 0 && age < int64(positionLife) && len(a.m) < a.max {
			a.m[k] = &stream{lastSeen: p.received, earlier: &p, handed: &p}
		}
	}
}

// Mark notes how far the numbers of every exporter were followed whose rows
// Handle has taken. The function it returns saves that: call it when these rows
// are durable, one at a time and in the order of the marks. What is sent after
// the last mark saved, and is not there when an exporter is heard again, was lost
// while no collector listened. A crash between making rows durable and saving
// the mark counts those rows too.
func (c *Collector) Mark() (save func()) {
	if c.deps.Sequences == nil {
		return func() {}
	}
	positions := c.accounts.positions()
	return func() {
		if err := c.deps.Sequences.save(positions); err != nil {
			if suppressed, ok := c.loggedMark.allow(c.deps.Clock().UnixNano()); ok {
				c.deps.Log.Error().Err(err).Int64("suppressed", suppressed).Msg("what is sent during a restart will be counted wrongly")
			}
		}
	}
}

// SequenceFile keeps positions in one file, which is replaced as a whole: a magic
// line, a record per stream, and a CRC-32C of all before it, in big-endian order.
type SequenceFile struct {
	path      string
	positions map[streamKey]position // as read
	written   []byte
}

const (
	sequenceMagic  = "tidemark sequences 1\n"
	sequenceRecord = 16 + 4 + 1 + 2 + 16 + 8 + 8 + 4 + 4 + 4 + 1 + 2 + 2
	maxSequences   = 1 << 22 // of Config.MaxExporters
)

// OpenSequences reads the file, if there is one. One that is damaged is as good
// as none: nothing is claimed of the time before.
func OpenSequences(path string, log zerolog.Logger) (*SequenceFile, error) {
	f := &SequenceFile{path: path}
	s, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open sequences: %w", err)
	}
	b, err := []byte(nil), errSequences
	if s.Size() <= maxSequences*sequenceRecord {
		if b, err = os.ReadFile(filepath.Clean(path)); err != nil {
			return nil, fmt.Errorf("read sequences: %w", err)
		}
		f.positions, err = parsePositions(b)
	}
	if err != nil {
		log.Warn().Err(err).Str("file", path).Msg("what exporters sent while this collector was down is not known")
		return f, nil
	}
	f.written = b
	return f, nil
}

// save replaces the file, unless it says the same.
func (f *SequenceFile) save(positions map[streamKey]position) error {
	b := appendPositions(nil, positions)
	if bytes.Equal(b, f.written) || f.written == nil && len(positions) == 0 {
		return nil
	}
	next := f.path + ".new"
	if err := writeSynced(next, b); err != nil {
		return fmt.Errorf("save sequences: %w", err)
	}
	err := os.Rename(next, f.path)
	if err == nil {
		err = syncDirectory(filepath.Dir(f.path)) // or a power loss brings an older account back, and with it loss that was none
	}
	if err != nil {
		return fmt.Errorf("save sequences: %w", err)
	}
	f.written = b
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

var errSequences = errors.New("the file is damaged or of another kind")

func appendPositions(dst []byte, positions map[streamKey]position) []byte {
	be := binary.BigEndian
	dst = append(dst, sequenceMagic...)
	first := len(dst)
	for k, p := range positions {
		dst = append(dst, k.exporter[:]...)
		dst = be.AppendUint32(dst, k.domain)
		dst = append(dst, byte(k.protocol))
		dst = be.AppendUint16(dst, k.port)
		dst = append(dst, k.agent[:]...)
		dst = be.AppendUint64(dst, uint64(p.received))
		dst = be.AppendUint64(dst, uint64(p.export))
		dst = be.AppendUint32(dst, p.uptime)
		dst = be.AppendUint32(dst, p.before.next)
		dst = be.AppendUint32(dst, p.within.next)
		dst = append(dst, bit(p.before.open)|bit(p.within.open)<<1)
		dst = be.AppendUint16(dst, p.fitBefore)
		dst = be.AppendUint16(dst, p.fitWithin)
	}
	sortRecords(dst[first:])
	return be.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// sortRecords makes equal positions equal octets.
func sortRecords(b []byte) {
	records := slices.Collect(slices.Chunk(bytes.Clone(b), sequenceRecord))
	slices.SortFunc(records, bytes.Compare)
	for i, r := range records {
		copy(b[i*sequenceRecord:], r)
	}
}

func parsePositions(b []byte) (map[streamKey]position, error) {
	be := binary.BigEndian
	end := len(b) - 4
	if end < len(sequenceMagic) || string(b[:len(sequenceMagic)]) != sequenceMagic || (end-len(sequenceMagic))%sequenceRecord != 0 ||
		crc32.Checksum(b[:end], castagnoli) != be.Uint32(b[end:]) {
		return nil, errSequences
	}
	out := map[streamKey]position{}
	for b = b[len(sequenceMagic):end]; len(b) > 0; b = b[sequenceRecord:] {
		k := streamKey{accountKey: accountKey{[16]byte(b), be.Uint32(b[16:]), flow.Protocol(b[20])}, port: be.Uint16(b[21:]), agent: [16]byte(b[23:])}
		out[k] = position{
			received: int64(be.Uint64(b[39:])), export: int64(be.Uint64(b[47:])), uptime: be.Uint32(b[55:]),
			before: place{be.Uint32(b[59:]), b[67]&1 != 0}, within: place{be.Uint32(b[63:]), b[67]&2 != 0},
			fitBefore: be.Uint16(b[68:]), fitWithin: be.Uint16(b[70:]),
		}
	}
	return out, nil
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
