package anchor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

func TestBundle_Golden(t *testing.T) {
	b, trust, chain := madeBundle(t)
	p := bundleFileOf(t, b)
	golden(t, "bundle-v2.txt", p)
	file, err := trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "trust-v1.json", file)
	if code, said := verifyFile(t, p, trust, chain); code != ExitOK {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}

// goldenV1 is a bundle of version 1, of the same flow as madeBundle.
func goldenV1(t testing.TB) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", "bundle-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBundle_Version1IsStillRead(t *testing.T) {
	want, trust, chain := madeBundle(t)
	code, said := verifyFile(t, goldenV1(t), trust, chain)
	if _, now := verifyFile(t, bundleFileOf(t, want), trust, chain); code != ExitOK || said != now {
		t.Errorf("exit code %d:\n%s\nwant\n%s", code, said, now)
	}
	got, err := ParseBundle(goldenV1(t))
	if err != nil || got.Name != want.Name || got.Header != want.Header || got.Anchor.Root != want.Anchor.Root {
		t.Errorf("version 1 is %+v, %v", got, err)
	}
}

func TestBundle_WhatIsMissingIsSaid(t *testing.T) {
	b, trust, chain := madeBundle(t)
	p := bundleFileOf(t, b)
	noChain := *trust
	noChain.Chain, noChain.FromBlock = nil, 0
	otherKey := *trust
	otherKey.Key = append(otherKey.Key[:0:0], otherKey.Key...)
	otherKey.Key[0] ^= 1
	otherID := *trust
	id := *trust.Chain
	id.ID[5] ^= 1
	otherID.Chain = &id
	notFinal, away, elsewhere, late, rewritten, forgotten := *chain, *chain, *chain, *chain, *chain, *chain
	notFinal.final = 76
	away.err = errors.New("connection refused")
	elsewhere.id = 1
	late.blocks = map[uint64]ChainBlock{41: {Number: 41, Hash: [32]byte{0xed}}}
	rewritten.anchors = []ChainAnchor{chain.anchors[0]}
	rewritten.anchors[0].Root[0] ^= 1
	forgotten.anchors = nil
	young := *chain
	young.blocks = map[uint64]ChainBlock{41: {Number: 41, Hash: [32]byte{0xee}, Time: testClock.Unix() + 3600}}
	unanchored := *b
	unanchored.Anchor = nil
	for _, c := range []struct {
		name  string
		file  []byte
		trust *Trust
		chain ChainReader
		code  int
	}{
		{"all there", p, trust, chain, ExitOK},
		{"no trust file", p, nil, chain, ExitOriginNotChecked},
		{"neither trust nor chain", p, nil, nil, ExitOriginNotChecked},
		{"no RPC URL", p, trust, nil, ExitUnanchored},
		{"trust without contract", p, &noChain, chain, ExitUnanchored},
		{"never anchored", bundleFileOf(t, &unanchored), trust, chain, ExitUnanchored},
		{"another key", p, &otherKey, chain, ExitFailed},
		{"another id in the contract", p, &otherID, chain, ExitFailed},
		{"not final", p, trust, &notFinal, ExitUnanchored},
		{"chain away", p, trust, &away, ExitUnreachable},
		{"another chain", p, trust, &elsewhere, ExitFailed},
		{"another block 41", p, trust, &late, ExitFailed},
		{"block 41 younger than the seal", p, trust, &young, ExitFailed},
		{"the contract has another root", p, trust, &rewritten, ExitFailed},
		{"the contract has no such anchor", p, trust, &forgotten, ExitFailed},
	} {
		if code, said := verifyFile(t, c.file, c.trust, c.chain); code != c.code {
			t.Errorf("%s: exit code %d, want %d:\n%s", c.name, code, c.code, said)
		}
	}
}

func TestBundle_VerifiesAfterTheChainMovedOn(t *testing.T) {
	b, trust, chain := madeBundle(t)
	chain.anchors = append(chain.anchors, ChainAnchor{Size: 5, PrevSize: 4, Root: [32]byte{1}, Block: ChainBlock{Number: 80}},
		ChainAnchor{Size: 9000, PrevSize: 5, Root: [32]byte{2}, Block: ChainBlock{Number: 85}})
	if code, said := verifyFile(t, bundleFileOf(t, b), trust, chain); code != ExitOK {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}

// mutations calls f with a JSON text for every way to change one value of v, and
// the path of it.
func mutations(v any, path string, whole func() []byte, set func(any), f func(path string, p []byte)) {
	try := func(how string, value any) {
		set(value)
		f(path+" "+how, whole())
		set(v)
	}
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			old := v[name]
			delete(v, name)
			f(path+"."+name+" removed", whole())
			v[name] = old
			mutations(old, path+"."+name, whole, func(x any) { v[name] = x }, f)
		}
		v["surprise"] = 1
		f(path+" with an unknown field", whole())
		delete(v, "surprise")
	case []any:
		try("emptied", []any{})
		for i := range v {
			try(fmt.Sprintf("without %d", i), append(append([]any{}, v[:i]...), v[i+1:]...))
			try(fmt.Sprintf("with %d twice", i), append(append(append([]any{}, v[:i+1]...), v[i]), v[i+1:]...))
			mutations(v[i], fmt.Sprintf("%s[%d]", path, i), whole, func(x any) { v[i] = x }, f)
		}
		if len(v) > 1 {
			v[0], v[1] = v[1], v[0]
			same := fmt.Sprint(v[0]) == fmt.Sprint(v[1])
			p := whole()
			v[0], v[1] = v[1], v[0]
			if !same {
				f(path+" swapped", p)
			}
		}
	case string:
		try("emptied", "")
		try("longer", v+"0")
		try("with a space", " "+v)
		for i := range len(v) {
			for _, c := range []byte{'0', v[i] ^ 1, v[i] ^ 2, v[i] ^ 0x20} {
				if c != v[i] && c < 0x80 && v[i] < 0x80 {
					try(fmt.Sprintf("octet %d to %q", i, c), v[:i]+string(c)+v[i+1:])
				}
			}
		}
	case json.Number:
		n, _ := v.Int64()
		try("plus one", json.Number(fmt.Sprint(n+1)))
		try("negative", json.Number("-1"))
		try("huge", json.Number("18446744073709551616"))
		try("as a fraction", json.Number(v.String()+".0"))
		try("as text", v.String())
	}
	try("null", nil)
}

// A bundle has one meaning: whatever single octet of it changes, in the file or
// in what it spells, nobody may take it for verified any more.
func TestBundle_EverySingleChangeIsRefused(t *testing.T) {
	b, trust, chain := madeBundle(t)
	p := bundleFileOf(t, b)
	for i := range p {
		for _, c := range []byte{p[i] ^ 1, p[i] ^ 2, p[i] ^ 0x20, '0', 'A', '\n', ' '} {
			changed := slices.Clone(p)
			if changed[i] = c; c == p[i] {
				continue
			}
			if code, said := verifyFile(t, changed, trust, chain); code == ExitOK {
				t.Errorf("octet %d as %q near %q is accepted:\n%s", i, c, p[max(i-20, 0):i], said)
			}
		}
	}
	outer, err := parseTLogProof(p)
	if err != nil {
		t.Fatal(err)
	}
	extra := outer.ExtraData
	table := bytes.Index(extra, b.Exporters) - 4
	try := func(what string, at int, changed []byte) {
		outer.ExtraData = changed
		code, said := verifyFile(t, outer.Marshal(), trust, chain)
		if code != 2 && code != ExitFailed {
			t.Errorf("%s at %d is accepted: exit code %d\n%s", what, at, code, said)
		}
	}
	for i := range extra {
		for bit := range 8 {
			changed := slices.Clone(extra)
			changed[i] ^= 1 << bit
			try("a bit", i, changed)
		}
		try("an octet less", i, slices.Delete(slices.Clone(extra), i, i+1))
		try("an octet more", i, slices.Insert(slices.Clone(extra), i, 0))
		try("an end", i, extra[:i])
	}
	// What is an extra may be left out, and is said to be missing.
	b.Exporters = nil
	if code, _ := verifyFile(t, bundleFileOf(t, b), trust, chain); code != ExitOK || table < 0 {
		t.Errorf("without exporter table: exit code %d", code)
	}
	b.Anchor = nil
	if code, _ := verifyFile(t, bundleFileOf(t, b), trust, chain); code != ExitUnanchored {
		t.Errorf("without anchor: exit code %d", code)
	}
}

func TestBundle_EverySingleChangeOfVersion1IsRefused(t *testing.T) {
	_, trust, chain := madeBundle(t)
	var v any
	d := json.NewDecoder(strings.NewReader(string(goldenV1(t))))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	whole := func() []byte {
		p, err := json.Marshal(reorder(v))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if code, said := verifyFile(t, whole(), trust, chain); code != ExitOK {
		t.Fatalf("unchanged: exit code %d:\n%s", code, said)
	}
	n, refused := 0, 0
	mutations(v, "", whole, func(x any) { v = x }, func(path string, p []byte) {
		n++
		code, said := verifyFile(t, p, trust, chain)
		switch {
		case code == 2:
			refused++
		case code == ExitFailed:
		case path == ".exporter_table removed" || path == ".exporter_table emptied":
			// the table is an extra; without it everything else stands
		case strings.HasPrefix(path, ".anchor removed") || strings.HasPrefix(path, ".anchor null"):
			if code != ExitUnanchored {
				t.Errorf("%s: exit code %d, want %d:\n%s", path, code, ExitUnanchored, said)
			}
		default:
			t.Errorf("%s: exit code %d:\n%s", path, code, said)
		}
	})
	if n < 5000 {
		t.Errorf("only %d changes tried", n)
	}
	t.Logf("%d changes: %d refused as files, the rest by what they prove", n, refused)
}

// reorder puts the fields of a decoded bundle into the order of the format,
// which a map has lost.
func reorder(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	return ordered(object)
}

// ordered writes the fields of an object in the order in which bundleFile, and
// the structs in it, declare them.
type ordered map[string]any

func (o ordered) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	rest := map[string]any{}
	for k, v := range o {
		rest[k] = v
	}
	write := func(name string) error {
		value, ok := rest[name]
		if !ok {
			return nil
		}
		delete(rest, name)
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		k, _ := json.Marshal(name)
		if list, ok := value.([]any); ok {
			copied := make([]any, len(list))
			for i := range list {
				copied[i] = reorder(list[i])
			}
			value = copied
		}
		p, err := json.Marshal(reorder(value))
		b.Write(k)
		b.WriteByte(':')
		b.Write(p)
		return err
	}
	for _, name := range fieldOrder() {
		if err := write(name); err != nil {
			return nil, err
		}
	}
	for name := range rest {
		if err := write(name); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// fieldOrder is one order that fits all objects of a bundle.
func fieldOrder() []string {
	names := []string{"pen"}
	for _, v := range []any{bundleFile{}, bundleHeader{}, anchorFields{}, bundleRow{}, bundleExtension{}} {
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func TestBundle_RefusesWhatIsTooLongOrNotOneValue(t *testing.T) {
	b, _, _ := madeBundle(t)
	now, v1 := string(bundleFileOf(t, b)), string(goldenV1(t))
	for name, c := range map[string]string{
		"empty":          "",
		"two values":     v1 + v1,
		"two bundles":    now + now,
		"over a MiB":     v1 + strings.Repeat(" ", MaxBundle),
		"a field twice":  strings.Replace(v1, `"proto": 6,`, `"proto": 6, "proto": 6,`, 1),
		"field in caps":  strings.Replace(v1, `"proto"`, `"PROTO"`, 1),
		"fields swapped": strings.Replace(v1, `"src_port": 49152,`+"\n"+`    "dst_port": 443,`, `"dst_port": 443, "src_port": 49152,`, 1),
		"trailing text":  v1 + "x",
		"no extra":       strings.Replace(now, "extra ", "extras ", 1),
		"carriage":       strings.Replace(now, "\n", "\r\n", 1),
		"many hashes":    strings.Replace(now, "\n\n", strings.Repeat("\n"+strings.Repeat("A", 43)+"=", merkle.MaxPath)+"\n\n", 1),
	} {
		if c == now || c == v1 {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := ParseBundle([]byte(c)); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: got %v, want ErrBundle", name, err)
		}
	}
	for _, p := range []string{now, v1} {
		for i := range p[:len(p)-2] {
			if _, err := ParseBundle([]byte(p[:i])); err == nil {
				t.Fatalf("the first %d of %d octets are a bundle", i, len(p))
			}
		}
	}
}

func TestBundle_EveryRowComesBack(t *testing.T) {
	for seed := range uint64(300) {
		b := randomBatch(seed, 1)
		b.Protocol[0], b.Transport[0] = flow.SFlowV5, flow.File
		spelled, err := spellRow(b, 0)
		if err != nil {
			t.Fatal(err)
		}
		var back flow.Batch
		if err := spelled.append(&back); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want, err := AppendRow(nil, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendRow(nil, &back, 0); err != nil || string(got) != string(want) {
			t.Fatalf("seed %d: row came back as %x, %v, want %x", seed, got, err, want)
		}
		var parsed flow.Batch
		if err := parseRow(&parsed, want); err != nil {
			t.Fatalf("seed %d: parse the row's octets: %v", seed, err)
		}
		if got, err := AppendRow(nil, &parsed, 0); err != nil || string(got) != string(want) {
			t.Fatalf("seed %d: octets came back as %x, %v, want %x", seed, got, err, want)
		}
	}
}

func TestTrust_RoundTripAndRefusals(t *testing.T) {
	_, trust, _ := madeBundle(t)
	path := filepath.Join(t.TempDir(), "trust.json")
	if err := WriteTrust(path, trust); err != nil {
		t.Fatal(err)
	}
	back, err := ReadTrust(path)
	if err != nil {
		t.Fatal(err)
	}
	if back.LogID != trust.LogID || *back.Chain != *trust.Chain || back.FromBlock != trust.FromBlock || !back.Key.Equal(trust.Key) {
		t.Errorf("read back %+v, want %+v", back, trust)
	}
	if err := WriteTrust(path, trust); err == nil {
		t.Error("an existing trust file was overwritten")
	}
	if _, err := ReadTrust(path + "x"); err == nil {
		t.Error("a file that is not there: no error")
	}
	p, _ := trust.Marshal()
	for name, change := range map[string][2]string{
		"unknown field":    {`"origin"`, `"extra": 1, "origin"`},
		"another format":   {"tidemark-trust/v1", "tidemark-trust/v2"},
		"another origin":   {`"origin": "example.com/golden"`, `"origin": "example.com/other"`},
		"another log id":   {`"log_id": "`, `"log_id": "00`},
		"upper-case hex":   {"0xab", "0xAB"},
		"no contract":      {"0xab", "ab"},
		"chain id 0":       {"11155111", "0"},
		"negative block":   {`"from_block": 40`, `"from_block": -40`},
		"another key hash": {"example.com/golden+", "example.com/golden+0"},
	} {
		changed := strings.Replace(string(p), change[0], change[1], 1)
		if changed == string(p) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := ParseTrust([]byte(changed)); !errors.Is(err, ErrTrust) {
			t.Errorf("%s: got %v, want ErrTrust", name, err)
		}
	}
}

func FuzzBundle_AcceptsOnlyItsOneForm(f *testing.F) {
	b, trust, chain := madeBundle(f)
	f.Add(bundleFileOf(f, b))
	f.Add(goldenV1(f))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := ParseBundle(p)
		if err != nil {
			return
		}
		if b.Anchor == nil || b.Anchor.Inclusion != nil { // version 2
			again, err := b.Marshal()
			if err != nil {
				t.Fatalf("accepted, but cannot be written: %v", err)
			}
			if _, err := ParseBundle(again); err != nil {
				t.Fatalf("written, but not accepted: %v", err)
			}
		}
		if _, err := VerifyBundle(context.Background(), b, Given{Trust: trust, Chain: chain}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzTrust_AcceptsOnlyItsOneForm(f *testing.F) {
	_, trust, _ := madeBundle(f)
	p, _ := trust.Marshal()
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		trust, err := ParseTrust(p)
		if err != nil {
			return
		}
		again, err := trust.Marshal()
		if err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		if _, err := ParseTrust(again); err != nil {
			t.Fatalf("written, but not accepted: %v", err)
		}
	})
}
