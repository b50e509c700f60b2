package publish

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

func someRequest() *Request {
	return &Request{
		ChainID: 5, Contract: common.Address{1}, LogID: common.Hash{2}, Publisher: common.Address{3}, Rotator: common.Address{4},
		From: 7, Size: 9, Root: common.Hash{5}, Proof: []common.Hash{{6}, {7}}, Deadline: 1 << 33, Signature: make([]byte, 65),
	}
}

func TestParseRequest_RefusesWhatNobodyWrote(t *testing.T) {
	p, err := someRequest().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text := string(p)
	for name, s := range map[string]string{
		"nothing":           "",
		"unknown field":     strings.Replace(text, `"from"`, `"more": 1, "from"`, 1),
		"another format":    strings.Replace(text, "request/v1", "request/v2", 1),
		"not growing":       strings.Replace(text, `"size": "9"`, `"size": "7"`, 1),
		"a short signature": strings.Replace(text, `"signature": "0x00`, `"signature": "0x`, 1),
		"more behind":       text + "{}",
		"too long":          text + strings.Repeat(" ", MaxRequest),
		"a huge proof":      strings.Replace(text, `"consistency_proof": [`, `"consistency_proof": [`+strings.Repeat(`"0x`+strings.Repeat("00", 32)+`",`, 64), 1),
		"beyond 64 bits":    strings.Replace(text, `"size": "9"`, `"size": "18446744073709551616"`, 1),
		"half":              text[:len(text)/2],
		"a negative id":     strings.Replace(text, `"chain_id": "5"`, `"chain_id": "-5"`, 1),
		"not a contract":    strings.Replace(text, `"contract": "0x01`, `"contract": "0x`, 1),
	} {
		if s == text {
			t.Fatalf("%s: nothing was altered", name)
		}
		if _, err := ParseRequest([]byte(s)); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseRequest: what is taken is written again as it was understood.
func FuzzParseRequest(f *testing.F) {
	p, err := someRequest().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := ParseRequest(p)
		if err != nil {
			return
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseRequest(again)
		if err != nil {
			t.Fatalf("not read back: %v", err)
		}
		if third, err := back.Marshal(); err != nil || !bytes.Equal(again, third) {
			t.Errorf("read back as another: %v", err)
		}
		_ = anchorOwn([]*Request{r, back})
	})
}
