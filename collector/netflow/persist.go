package netflow

import (
	"encoding/binary"
	"fmt"
	"math"

	"tidemark/collector/flow"
)

// TemplateStore keeps opaque records of templates and options, so that a restart
// is not blind until every exporter has sent them again.
type TemplateStore interface {
	// Save keeps record under key in place of what was there; a nil record
	// removes it. It is called while a session is locked, so it must not wait for
	// a disk. The store may keep record.
	Save(key string, record []byte)
	// Load calls restore for every record kept.
	Load(restore func(key string, record []byte))
}

// A stored record begins with its kind.
const (
	storedTemplate = 1
	storedOption   = 2
	storedUsed     = 3 // nothing but whose it is: data came for its templates
)

// templateName is the key of a stored template.
func templateName(s *session, k templateKey) string {
	return fmt.Sprintf("%x-%d-%d-%d-%d-%d", s.key.exporter, s.key.port, s.key.transport, k.protocol, k.domain, k.id)
}

// saveTemplate files a template. Those of a connection end with it.
func (d *Decoder) saveTemplate(s *session, k templateKey, p *plan) {
	if d.config.Templates == nil || s.key.transport.Connected() {
		return
	}
	s.plansMu.Lock()
	defer s.plansMu.Unlock()
	if !s.closed { // else forgotten meanwhile, with all that was saved of it
		d.config.Templates.Save(templateName(s, k), marshal(s.key, k, &p.template))
	}
}

// saveOption files what options data said. isNew says that s has not said it before.
func (d *Decoder) saveOption(s *session, k domainKey, v option, isNew bool) {
	if d.config.Templates == nil || s.key.transport.Connected() {
		return
	}
	name := fmt.Sprintf("%x-%d-%d-%d-%d-o%d-%d", s.key.exporter, s.key.port, s.key.transport, k.protocol, k.domain, v.kind, v.id)
	if v.kind == optionApplication {
		name += fmt.Sprintf("-%x", v.application)
	}
	d.saveRecord(s, name, marshalOption(s.key, k, v), isNew)
}

// saveUsed files that data came for the templates of s, of domain k at first.
func (d *Decoder) saveUsed(s *session, k domainKey) {
	if d.config.Templates != nil && !s.key.transport.Connected() {
		d.saveRecord(s, usedName(s.key), stored(storedUsed, s.key, k), true)
	}
}

func usedName(s sessionKey) string { return fmt.Sprintf("%x-%d-%d-u", s.exporter, s.port, s.transport) }

// saveRecord files a record that goes when s is forgotten.
func (d *Decoder) saveRecord(s *session, name string, record []byte, isNew bool) {
	s.plansMu.Lock()
	defer s.plansMu.Unlock()
	if s.closed {
		return
	}
	if isNew {
		s.saved = append(s.saved, name)
	}
	d.config.Templates.Save(name, record)
}

// stored begins a record: whose it is.
func stored(kind byte, s sessionKey, k domainKey) []byte {
	b := append([]byte{kind}, s.exporter[:]...)
	b = binary.BigEndian.AppendUint16(b, s.port)
	b = append(b, byte(s.transport), byte(k.protocol))
	return binary.BigEndian.AppendUint32(b, k.domain)
}

const storedOwner = 25 // octets of what stored writes

// owner reads what stored wrote; rest is what follows it.
func owner(b []byte) (kind byte, s sessionKey, k domainKey, rest []byte, ok bool) {
	if len(b) < storedOwner {
		return 0, s, k, nil, false
	}
	copy(s.exporter[:], b[1:])
	s.port, s.transport = binary.BigEndian.Uint16(b[17:]), flow.Transport(b[19])
	k.protocol, k.domain = flow.Protocol(b[20]), binary.BigEndian.Uint32(b[21:])
	known := k.protocol == flow.NetFlowV9 || k.protocol == flow.IPFIX
	return b[0], s, k, b[storedOwner:], known && !s.transport.Connected()
}

func marshal(s sessionKey, k templateKey, t *template) []byte {
	b := stored(storedTemplate, s, k.domainKey)
	b = binary.BigEndian.AppendUint16(b, k.id)
	b = append(b, byte(index(t.options)))
	b = binary.BigEndian.AppendUint16(b, uint16(t.scopes))
	for _, f := range t.fields {
		b = binary.BigEndian.AppendUint32(b, f.pen)
		b = binary.BigEndian.AppendUint16(b, f.id)
		b = binary.BigEndian.AppendUint16(b, f.length)
	}
	return b
}

// unmarshal reads what marshal wrote behind the owner.
func unmarshal(b []byte) (t template, ok bool) {
	const header, perField = 5, 8
	n := (len(b) - header) / perField
	if len(b) <= header || (len(b)-header)%perField != 0 || n > maxFields {
		return t, false
	}
	t.id, t.options, t.scopes = binary.BigEndian.Uint16(b), b[2] == 1, int(binary.BigEndian.Uint16(b[3:]))
	for b = b[header:]; len(b) > 0; b = b[perField:] {
		t.fields = append(t.fields, field{binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])})
	}
	return t, t.id >= 256 && t.scopes <= n
}

func marshalOption(s sessionKey, k domainKey, v option) []byte {
	b := stored(storedOption, s, k)
	b = append(b, byte(v.kind))
	if v.kind == optionApplication {
		v.id = uint64(len(v.application))
	}
	b = binary.BigEndian.AppendUint64(b, v.id)
	b = binary.BigEndian.AppendUint32(b, v.rate.n)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.rate.probability))
	b = binary.BigEndian.AppendUint64(b, uint64(v.at))
	b = append(b, byte(len(v.name.Name))) // at most 255, see text
	b = append(b, v.name.Name...)
	b = append(b, v.name.Description...)
	return append(b, v.application...)
}

// unmarshalOption reads what marshalOption wrote behind the owner.
func unmarshalOption(b []byte) (v option, ok bool) {
	const header = 30
	if len(b) < header || len(b) < header+int(b[header-1]) {
		return v, false
	}
	v.kind, v.id = optionKind(b[0]), binary.BigEndian.Uint64(b[1:])
	v.rate = rate{binary.BigEndian.Uint32(b[9:]), math.Float64frombits(binary.BigEndian.Uint64(b[13:])), flow.SamplingFromOption}
	v.at = int64(binary.BigEndian.Uint64(b[21:]))
	names := b[header:]
	if v.kind == optionApplication { // its id is at the end, of the length that the number says
		n := v.id
		if v.id = 0; n < 2 || n > maxApplicationID || n > uint64(len(names)-int(b[header-1])) {
			return v, false
		}
		v.application, names = string(names[len(names)-int(n):]), names[:len(names)-int(n)]
	}
	v.name = Label{string(names[:b[header-1]]), text(names[b[header-1]:])}
	switch v.kind {
	case optionDomainRate, optionSamplerRate, optionInterfaceRate:
		return v, v.rate.n > 0 && v.rate.probability >= 0 && v.rate.probability <= 1
	case optionSystemInit:
		return v, v.at > 0
	}
	return v, v.kind == optionInterfaceName || v.kind == optionVRFName || v.kind == optionApplication
}

// Restore reads the templates and options of Config.Templates; call it before
// the first Decode. A record that cannot be read is left out: the exporter sends
// it again.
func (d *Decoder) Restore() (r Restored) {
	if d.config.Templates == nil {
		return r
	}
	d.config.Templates.Load(func(name string, record []byte) {
		kind, key, k, rest, ok := owner(record)
		switch {
		case ok && kind == storedTemplate && d.restoreTemplate(key, k, rest):
			r.Templates++
		case ok && kind == storedOption && d.restoreOption(name, key, k, rest):
			r.Options++
		case ok && kind == storedUsed:
			s := d.session(key)
			s.restored = true
			s.used.Store(true)
			s.saved = append(s.saved, name)
		default:
			r.Refused++
		}
	})
	return r
}

// Restored counts what Restore read.
type Restored struct{ Templates, Options, Refused int }

func (d *Decoder) restoreTemplate(key sessionKey, k domainKey, b []byte) bool {
	t, ok := unmarshal(b)
	if !ok {
		return false
	}
	p := compile(k.protocol, t)
	return p != nil && d.session(key).learn(templateKey{k, t.id}, p, d.config.MaxTemplatesPerSession) == added
}

func (d *Decoder) restoreOption(name string, key sessionKey, k domainKey, b []byte) bool {
	v, ok := unmarshalOption(b)
	if !ok {
		return false
	}
	s := d.session(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.observation(k)
	if o == nil || o.set(v) != added {
		return false
	}
	s.saved = append(s.saved, name)
	return true
}
