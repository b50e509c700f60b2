package anchor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxEvent is the longest event in octets of canonical JSON.
const MaxEvent = 1 << 20

const eventTime = "2006-01-02T15:04:05.000Z"

// ErrEvent is the class of all faults of an event.
var ErrEvent = errors.New("invalid event")

// Event is a leaf of kind 0x05: something that was decided or found, as
// opposed to measured. Body is the canonical JSON (RFC 8785) and what is
// hashed; the other fields are read out of it.
type Event struct {
	Kind  string
	Time  time.Time // UTC, milliseconds
	Actor string    // operating system user or the name given by --as; "tidemark" itself
	Body  []byte
}

// NewEvent makes an event. fields may hold whatever encoding/json takes except
// the names kind, time and actor, and integers beyond 2^53, which go as
// strings. Text that is not UTF-8 gets U+FFFD where it is not.
func NewEvent(kind, actor string, at time.Time, fields map[string]any) (Event, error) {
	refuse := func(err error) (Event, error) {
		return Event{}, fmt.Errorf("%w %q: %w", ErrEvent, kind, err)
	}
	object := map[string]any{"kind": kind, "actor": actor, "time": at.UTC().Format(eventTime)}
	for name, value := range fields {
		if _, taken := object[name]; taken {
			return refuse(fmt.Errorf("field %q is set by the ledger", name))
		}
		object[name] = value
	}
	plain, err := json.Marshal(object)
	if err != nil {
		return refuse(err)
	}
	value, err := decodeJSON(plain)
	if err != nil {
		return refuse(err)
	}
	body, err := canonicalJSON(nil, value)
	if err != nil {
		return refuse(err)
	}
	return ParseEvent(body)
}

// ParseEvent reads a stored body and refuses one that is not canonical or
// lacks kind, time or actor.
func ParseEvent(body []byte) (Event, error) {
	refuse := func(format string, args ...any) (Event, error) {
		return Event{}, fmt.Errorf("%w: %w", ErrEvent, fmt.Errorf(format, args...))
	}
	if len(body) > MaxEvent {
		return refuse("%d octets, want at most %d", len(body), MaxEvent)
	}
	value, err := decodeJSON(body)
	if err != nil {
		return refuse("read JSON: %w", err)
	}
	canonical, err := canonicalJSON(make([]byte, 0, len(body)), value)
	if err != nil {
		return refuse("%w", err)
	}
	if !bytes.Equal(canonical, body) {
		return refuse("JSON is not canonical (RFC 8785)")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return refuse("JSON is not an object")
	}
	kind, _ := object["kind"].(string)
	actor, _ := object["actor"].(string)
	at, _ := object["time"].(string)
	if kind == "" || actor == "" {
		return refuse("kind %q, actor %q: want both", kind, actor)
	}
	t, err := time.Parse(eventTime, at)
	if err != nil || t.Format(eventTime) != at {
		return refuse("time %q: want RFC 3339, UTC, milliseconds", at)
	}
	return Event{Kind: kind, Time: t, Actor: actor, Body: body}, nil
}

// Fields decodes the body.
func (e Event) Fields() (map[string]any, error) {
	value, err := decodeJSON(e.Body)
	object, _ := value.(map[string]any)
	return object, err
}

// AppendEvent appends 0x00 || type || version || 0x00 || u32 length || body,
// what the leaf of an event hashes before the salt.
func AppendEvent(dst, body []byte) []byte {
	dst = append(dst, 0x00, typeEvent, encodingVersion, 0x00)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// EventLeaves sets dst[i] to the leaf hash of bodies[i], for all of them.
func EventLeaves(dst [][32]byte, bodies [][]byte, key SaltKey) error {
	if len(dst) != len(bodies) {
		return fmt.Errorf("hash events: room for %d, want %d", len(dst), len(bodies))
	}
	var buf []byte
	for i, body := range bodies {
		buf = AppendEvent(buf[:0], body)
		dst[i] = LeafHash(buf, key.Salt(uint64(i)))
	}
	return nil
}
