package anchor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Both verifiers agree about the golden bundle, and this one refuses changes to
// each octet that it can judge without a chain.
func TestBundle_SecondVerifierAgrees(t *testing.T) {
	t.Parallel()
	second := startSecondVerifier(t)
	b, _, _ := madeBundle(t)
	p := bundleFileOf(t, b)
	if code, said := second.verify(p, "trust-v1.json"); code != ExitUnanchored || !strings.Contains(said, "10.0.0.3 port 49152 -> 2001:db8::1 port 443") {
		t.Fatalf("golden bundle: exit code %d, want %d:\n%s", code, ExitUnanchored, said)
	}
	outer, err := parseTLogProof(p)
	if err != nil {
		t.Fatal(err)
	}
	// What stands behind chain, contract and id is for the chain to confirm.
	claims := len(outer.ExtraData) - 8 - 32 - 8 - 32 - 8
	for i := range outer.ExtraData {
		changed := outer
		changed.ExtraData = slices.Clone(outer.ExtraData)
		if changed.ExtraData[i] ^= 1; i < claims {
			second.refuses(fmt.Sprintf("octet %d of the extra data", i), changed.Marshal(), "trust-v1.json")
		}
		if i%16 == 0 {
			changed.ExtraData = outer.ExtraData[:i]
			second.refuses(fmt.Sprintf("extra data cut at %d", i), changed.Marshal(), "trust-v1.json")
		}
	}
	for at := strings.Index(string(p), "\nindex ") + 1; at < len(p); at += 3 {
		changed := slices.Clone(p)
		changed[at] ^= 1
		second.refuses(fmt.Sprintf("octet %d of the file", at), changed, "trust-v1.json")
	}
}

func TestBundle_SecondVerifierReadsVersion1(t *testing.T) {
	second := startSecondVerifier(t)
	original := string(goldenV1(t))
	if code, said := second.verify([]byte(original), "trust-v1.json"); code != ExitUnanchored {
		t.Fatalf("golden bundle: exit code %d, want %d:\n%s", code, ExitUnanchored, said)
	}
	for _, change := range [][2]string{
		{`"bytes": "1234"`, `"bytes": "1235"`},
		{`"dst_port": 443`, `"dst_port": 444`},
		{`"c0000203"`, `"c0000204"`},
		{`"src_mac": "02:`, `"src_mac": "00:`},
		{`-2-259"`, `-2-258"`},
		{`"salt": "d`, `"salt": "e`},
		{`"rows": "700"`, `"rows": "701"`},
		{`"sealed": "2026-11-22T12:00:10Z"`, `"sealed": "2026-11-22T12:00:11Z"`},
		{`ioV3kiyj`, `ioV4kiyj`},
		{`YyzsLqJL`, `YyzsLqJM`},
		{`RQeXb6a5`, `RQeXb6a6`},
		{`example.com/golden\n5\n`, `example.com/golden\n6\n`},
		{`"size": "4"`, `"size": "3"`},
		{`"root": "98`, `"root": "99`},
		{`"contract": "0xab`, `"contract": "0xac`},
	} {
		changed := strings.Replace(original, change[0], change[1], 1)
		if changed == original {
			t.Fatalf("%s is not in the golden bundle", change[0])
		}
		second.refuses(change[1], []byte(changed), "trust-v1.json")
	}
}

func TestBundle_SecondVerifierChecksWitnesses(t *testing.T) {
	second := startSecondVerifier(t)
	b, trust, _ := madeCosigned(t, testClock.Add(time.Minute))
	p := bundleFileOf(t, b)
	if code, said := second.verify(p, "trust-v1-witness.json"); code != ExitUnanchored || !strings.Contains(said, "witness witness.example.net/one saw the log") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if code, said := second.verify(p, "trust-v1.json"); code != ExitUnanchored || !strings.Contains(said, "not verified") {
		t.Errorf("without its key: exit code %d:\n%s", code, said)
	}
	if code, said := second.verify(p, "trust-v1.json", "--witness", trust.Witnesses[0].String()); code != ExitUnanchored || !strings.Contains(said, "saw the log") {
		t.Errorf("with its key beside the trust file: exit code %d:\n%s", code, said)
	}
	line := strings.LastIndex(string(p), " ") + 1
	for at := line + 8; at < len(p)-4; at += 5 { // behind the hash of the key
		changed := slices.Clone(p)
		changed[at] = map[bool]byte{true: 'A', false: 'B'}[changed[at] != 'A']
		second.refuses(fmt.Sprintf("octet %d of the cosignature", at-line), changed, "trust-v1-witness.json")
	}
	early, _, _ := madeCosigned(t, testClock.Add(-time.Hour))
	second.refuses("seen before it claims to be sealed", bundleFileOf(t, early), "trust-v1-witness.json")
}
