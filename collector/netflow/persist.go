package netflow

import (
	"encoding/binary"
	"fmt"

	"tidemark/collector/flow"
)

// TemplateStore keeps opaque template records, so that a restart is not blind
// until every exporter has sent its templates again.
type TemplateStore interface {
	// Save keeps record under key in place of what was there; a nil record
	// removes it. It is called while a session is locked, so it must not wait for
	// a disk. The store may keep record.
	Save(key string, record []byte)
	// Load calls restore for every record kept.
	Load(restore func(key string, record []byte))
}

// storedVersion begins every template record.
const storedVersion = 1

// save files a template, nil to remove it. Those of a connection end with it.
func (d *Decoder) save(s *session, k templateKey, p *plan) {
	if d.config.Templates == nil || s.key.transport.Connected() {
		return
	}
	name := fmt.Sprintf("%x-%d-%d-%d-%d-%d", s.key.exporter, s.key.port, s.key.transport, k.protocol, k.domain, k.id)
	if p == nil {
		d.config.Templates.Save(name, nil)
		return
	}
	d.config.Templates.Save(name, marshal(nil, s.key, k, &p.template))
}

func marshal(b []byte, s sessionKey, k templateKey, t *template) []byte {
	b = append(b, storedVersion)
	b = append(b, s.exporter[:]...)
	b = binary.BigEndian.AppendUint16(b, s.port)
	b = append(b, byte(s.transport), byte(k.protocol))
	b = binary.BigEndian.AppendUint32(b, k.domain)
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

const storedHeader = 30

func unmarshal(b []byte) (s sessionKey, k templateKey, t template, ok bool) {
	n := (len(b) - storedHeader) / 8
	if len(b) <= storedHeader || (len(b)-storedHeader)%8 != 0 || b[0] != storedVersion || n > maxFields {
		return s, k, t, false
	}
	copy(s.exporter[:], b[1:])
	s.port, s.transport = binary.BigEndian.Uint16(b[17:]), flow.Transport(b[19])
	k.protocol, k.domain, k.id = flow.Protocol(b[20]), binary.BigEndian.Uint32(b[21:]), binary.BigEndian.Uint16(b[25:])
	t.id, t.options, t.scopes = k.id, b[27] == 1, int(binary.BigEndian.Uint16(b[28:]))
	for b = b[storedHeader:]; len(b) > 0; b = b[8:] {
		t.fields = append(t.fields, field{binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])})
	}
	known := k.protocol == flow.NetFlowV9 || k.protocol == flow.IPFIX
	return s, k, t, known && !s.transport.Connected() && t.id >= 256 && t.scopes <= n
}

// Restore reads the templates of Config.Templates; call it before the first
// Decode. A record that cannot be read is left out: the exporter sends its
// templates again.
func (d *Decoder) Restore() (restored, refused int) {
	if d.config.Templates == nil {
		return 0, 0
	}
	d.config.Templates.Load(func(_ string, record []byte) {
		key, k, t, ok := unmarshal(record)
		var p *plan
		if ok {
			p = compile(k.protocol, t)
		}
		if p == nil {
			refused++
			return
		}
		s, _ := d.session(key)
		s.restored = true
		if s.learn(k, p, d.config.MaxTemplatesPerSession) == added {
			restored++
		} else {
			refused++
		}
	})
	return restored, refused
}
