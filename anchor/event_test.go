package anchor

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func canonical(t *testing.T, text string) string {
	t.Helper()
	v, err := decodeJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := canonicalJSON(nil, v)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(out)
}

// RFC 8785, Sections 3.2.2 to 3.2.4: the examples of the standard.
func TestCanonicalJSON_ExamplesOfTheRFC(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{
			`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],` +
				`"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`,
			"{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27]," +
				"\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
		},
		{
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",` +
				`"\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\"," +
				"\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		},
	} {
		if got := canonical(t, c.in); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// RFC 8785, Appendix B: the numbers of the standard by their IEEE 754 octets.
func TestCanonicalJSON_NumbersOfTheRFC(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0", 0x8000000000000000: "0",
		0x0000000000000001: "5e-324", 0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308", 0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992", 0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000", 0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23", 0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000", 0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21", 0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001", 0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555557: "333333333.33333343", 0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		literal, err := json.Marshal(math.Float64frombits(bits))
		if err != nil {
			t.Fatal(err)
		}
		if got := canonical(t, string(literal)); got != want {
			t.Errorf("%016x: got %s, want %s", bits, got, want)
		}
	}
	for _, literal := range []string{"9007199254740993", "-18446744073709551615", "1e400"} {
		if _, err := canonicalNumber(nil, literal); !errors.Is(err, errNumber) {
			t.Errorf("%s: %v, want errNumber", literal, err)
		}
	}
}

var eventAt = time.Date(2026, 11, 22, 17, 4, 5, 678_900_000, time.FixedZone("", 3600))

func TestEvent_Golden(t *testing.T) {
	key := SaltKey([]byte("0123456789abcdef"))
	var out []byte
	for i, c := range []struct {
		kind, actor string
		fields      map[string]any
	}{
		{"approve", "alice", nil},
		{"alert", "tidemark", map[string]any{"device": "0123456789abcdef", "risk": 7.25, "terms": []string{"new destination", "<night>"}, "n": 3, "ok": true, "none": nil}},
		{"edit", "bob", map[string]any{"\u20ac": 1, "\U0001F600": 2, "\ufb33": 3, "note": "line\nquote \" tab\t\x01 \u2028"}},
	} {
		e, err := NewEvent(c.kind, c.actor, eventAt, c.fields)
		if err != nil {
			t.Fatal(err)
		}
		encoded := AppendEvent(nil, e.Body)
		leaf := LeafHash(encoded, key.Salt(uint64(i)))
		out = append(append(out, e.Body...), '\n')
		out = vector(out, c.kind+" encoded", encoded)
		out = vector(out, c.kind+" leaf", leaf[:])
		if e.Kind != c.kind || e.Actor != c.actor || !e.Time.Equal(eventAt.Truncate(time.Millisecond)) {
			t.Errorf("got %+v", e)
		}
		if fields, err := e.Fields(); err != nil || len(fields) != 3+len(c.fields) {
			t.Errorf("Fields() = %v, %v", fields, err)
		}
	}
	golden(t, "event.golden", out)
}

func TestEvent_Refusals(t *testing.T) {
	for name, fields := range map[string]map[string]any{
		"reserved name": {"kind": "x"},
		"infinite":      {"x": math.Inf(1)},
		"large integer": {"x": uint64(1<<63 + 1)},
		"channel":       {"x": make(chan int)},
		"too long":      {"x": strings.Repeat("x", MaxEvent)},
	} {
		if _, err := NewEvent("k", "a", eventAt, fields); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v, want ErrEvent", name, err)
		}
	}
	if _, err := NewEvent("", "a", eventAt, nil); !errors.Is(err, ErrEvent) {
		t.Errorf("no kind: %v", err)
	}
	good := `{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678Z"}`
	if _, err := ParseEvent([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"nothing":      ``,
		"array":        `["a"]`,
		"space":        `{"actor": "a","kind":"k","time":"2026-11-22T16:04:05.678Z"}`,
		"order":        `{"kind":"k","actor":"a","time":"2026-11-22T16:04:05.678Z"}`,
		"name twice":   `{"actor":"a","actor":"a","kind":"k","time":"2026-11-22T16:04:05.678Z"}`,
		"surrogate":    `{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678Z","x":"\ud800"}`,
		"escape":       `{"actor":"\u0061","kind":"k","time":"2026-11-22T16:04:05.678Z"}`,
		"number":       `{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678Z","x":1.0}`,
		"not UTF-8":    "{\"actor\":\"\xff\",\"kind\":\"k\",\"time\":\"2026-11-22T16:04:05.678Z\"}",
		"no actor":     `{"kind":"k","time":"2026-11-22T16:04:05.678Z"}`,
		"kind number":  `{"actor":"a","kind":1,"time":"2026-11-22T16:04:05.678Z"}`,
		"local time":   `{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678+01:00"}`,
		"microseconds": `{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678901Z"}`,
		"two values":   good + good,
		"end of line":  good + "\n",
	} {
		if _, err := ParseEvent([]byte(body)); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v, want ErrEvent", name, err)
		}
	}
}

// Objects of different kinds never have the same octets, so never the same leaf.
func kindsAreDisjoint(t *testing.T) {
	encodedRow, _ := AppendRow(nil, randomBatch(1, 1), 0)
	header := secondHeader()
	table, _ := AppendExporterTable(nil, exporterCounts())
	kinds := [][]byte{
		encodedRow,
		append([]byte{0}, header.Append(nil)...),
		append([]byte{0}, table...),
		AppendEvent(nil, []byte(`{}`)),
	}
	for i, a := range kinds {
		if a[0] != 0 {
			t.Errorf("kind %d begins with %x, want the leaf prefix", i, a[0])
		}
		for j, b := range kinds {
			if i != j && bytes.Equal(a[:2], b[:2]) {
				t.Errorf("kinds %d and %d begin alike: %x", i, j, a[:2])
			}
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"actor":"a","kind":"k","time":"2026-11-22T16:04:05.678Z","x":[1e-7,"\u001f",{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if e, err := ParseEvent(body); err == nil {
			if again, err := ParseEvent(bytes.Clone(e.Body)); err != nil || again.Kind != e.Kind {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}
