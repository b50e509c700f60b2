package binding

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
)

// TestContract_CannotReplaceItself scans the opcodes: none lets the code be
// swapped, removed or borrowed.
func TestContract_CannotReplaceItself(t *testing.T) {
	forbidden := []vm.OpCode{vm.DELEGATECALL, vm.CALLCODE, vm.SELFDESTRUCT, vm.CREATE, vm.CREATE2, vm.CALL}
	code := Runtime()
	seen := map[vm.OpCode]int{}
	for pc := 0; pc < len(code); pc++ {
		op := vm.OpCode(code[pc])
		seen[op]++
		if slices.Contains(forbidden, op) {
			t.Errorf("%v at %d", op, pc)
		}
		if op.IsPush() {
			pc += int(op - vm.PUSH0)
		}
	}
	// The scan would prove nothing if it read data as code: what must be there, is.
	for _, op := range []vm.OpCode{vm.SSTORE, vm.LOG3, vm.STATICCALL, vm.CALLER, vm.CHAINID} {
		if seen[op] == 0 {
			t.Errorf("no %v found in %d octets of code", op, len(code))
		}
	}
}

func TestCreationCode_EndsInRuntime(t *testing.T) {
	bin, err := hex.DecodeString(strings.TrimPrefix(TidemarkLogMetaData.Bin, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(bin, Runtime()) {
		t.Error("tidemark_log.go and TidemarkLog.runtime come from different builds: run scripts/contracts.sh")
	}
}

// TestBuild_IsReproducible compiles the source again and compares every committed byte.
func TestBuild_IsReproducible(t *testing.T) {
	root := filepath.Join("..", "..")
	out, err := exec.Command("sh", filepath.Join(root, "scripts/setup-chain.sh"), "path").Output()
	if err != nil {
		t.Fatal(err)
	}
	tools := strings.TrimSpace(string(out))
	for _, tool := range []string{"forge", "solc", "soljson.js"} {
		if _, err := os.Stat(filepath.Join(tools, tool)); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not set up: run scripts/setup-chain.sh dev", tool)
			}
			t.Skipf("%s is not set up (scripts/setup-chain.sh dev)", tool)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", filepath.Join(root, "scripts/contracts.sh"), dir).CombinedOutput(); err != nil {
		t.Fatalf("scripts/contracts.sh: %v\n%s", err, out)
	}
	for name, committed := range map[string]string{
		"TidemarkLog.json":    filepath.Join(root, "contracts", "TidemarkLog.json"),
		"TidemarkLog.runtime": "TidemarkLog.runtime",
		"tidemark_log.go":     "tidemark_log.go",
	} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what its source compiles to: run scripts/contracts.sh and commit", committed)
		}
	}
}

// TestKnown_EarlierContractsServeOn: a log stays in the contract it was opened in.
func TestKnown_EarlierContractsServeOn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "TidemarkLog-1.runtime"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if hash := crypto.Keccak256Hash(code); !Known(hash) || hash == CodeHash() {
		t.Errorf("the first contract, %s, is not known", hash)
	}
	code[len(code)/2] ^= 1
	if Known(crypto.Keccak256Hash(code)) || !Known(CodeHash()) {
		t.Error("any code is known, or this release's is not")
	}
	// The functions that the bindings call are those of the earlier code too.
	for _, signature := range []string{"anchor(bytes32,uint64,bytes32,bytes32[])", "getLog(bytes32)", "open(bytes32,address,address)"} {
		if !bytes.Contains(code, crypto.Keccak256([]byte(signature))[:4]) {
			t.Errorf("the first contract has no %s", signature)
		}
	}
}
