package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"tidemark/anchor/chain/chaintest"
	"tidemark/anchor/publish"
)

// secretKey is a key whose digits must appear nowhere.
func secretKey(digit string) (hex string, account common.Address) {
	hex = strings.Repeat(digit+"d", 32)
	k, err := crypto.HexToECDSA(hex)
	if err != nil {
		panic(err)
	}
	return hex, crypto.PubkeyToAddress(k.PublicKey)
}

// keystoreFile is the key encrypted, and cheaply so.
func (s *site) keystoreFile(name, hex, phrase string) string {
	s.t.Helper()
	k, err := crypto.HexToECDSA(hex)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := keystore.EncryptKey(&keystore.Key{Address: crypto.PubkeyToAddress(k.PublicKey), PrivateKey: k}, phrase, keystore.LightScryptN, keystore.LightScryptP)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.root, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// TestE2E_KeysOfThreeRoles deploys, anchors with a payer, rotates to another
// publisher by the cold key, and anchors for it by request. No key is ever seen.
func TestE2E_KeysOfThreeRoles(t *testing.T) {
	t.Parallel()
	node := chaintest.Start(t, "--chain-id", "777", "--slots-in-an-epoch", "1", "--block-time", "1")
	publisher, publisherAt := secretKey("1")
	payer, payerAt := secretKey("2")
	rotator, rotatorAt := secretKey("3")
	next, nextAt := secretKey("4")
	for _, a := range []common.Address{payerAt, rotatorAt, nextAt} {
		node.Fund(a, 5)
	}
	s := newSite(t, fmt.Sprintf("chain: {rpc: %q, chain_id: 777}", node.URL))
	const phrase = "a phrase nobody sees"
	s.env = append(s.env, publish.PublisherRole.EnvKey()+"="+publisher, publish.PayerRole.EnvPassphrase()+"="+phrase, publish.RotatorRole.EnvPassphrase()+"="+phrase)
	payerFile, rotatorFile := s.keystoreFile("payer.json", payer, phrase), s.keystoreFile("rotator.json", rotator, phrase)
	hidden := func(where, text string) {
		for _, secret := range []string{publisher, payer, rotator, next, phrase} {
			if strings.Contains(strings.ToLower(text), secret[:20]) {
				t.Errorf("a key is in %s:\n%s", where, text)
			}
		}
	}

	deployKey := filepath.Join(s.root, "deploy.key")
	if err := os.WriteFile(deployKey, []byte(payer), 0o600); err != nil {
		t.Fatal(err)
	}
	var d publish.Deployment
	s.read(&d, "contract", "deploy", "--key-file", deployKey, "--output", "json")
	configure := func(more string) {
		s.configure(fmt.Sprintf("chain: {rpc: %q, fallback_rpc: [%q], chain_id: 777, contract: %q, rotator: %q, interval: 1s%s}", node.URL, node.URL, d.Address, rotatorAt, more))
	}
	configure(fmt.Sprintf(", payer_key_file: %q", payerFile))
	daemon := s.start()
	load := func() { s.simulate("load", "--to", s.udp, "--rate", "500", "--duration", "1s", "--mix", "v5") }
	load()
	s.says(0, []string{publisherAt.Hex(), "payer", payerAt.Hex(), "serving", "anchored until"}, "anchor", "now")
	for pid, line := range s.processes() {
		hidden("the process list", line)
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if pid != daemon.cmd.Process.Pid {
			hidden("the environment of "+line, string(environment))
		}
	}
	hidden("the configuration", s.want(0, "config", "print").stdout)

	if line := s.secondDaemon(); !strings.Contains(line, "already runs") {
		t.Errorf("a second daemon: %s", line)
	}

	trust := s.trust()
	s.says(0, []string{"proposed " + nextAt.Hex()}, "contract", "rotate", "--to", nextAt.Hex(), "--key-file", rotatorFile, "--trust", trust)
	s.says(exitRuntime, []string{"NotRotator"}, "contract", "rotate", "--to", nextAt.Hex(), "--key-file", deployKey, "--trust", trust)
	s.stop()
	nextFile := filepath.Join(s.root, "next.key")
	if err := os.WriteFile(nextFile, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	configure(fmt.Sprintf(", key_file: %q", nextFile)) // accepts by itself, and pays
	s.start()
	load()
	s.says(0, []string{nextAt.Hex()}, "anchor", "now")
	s.says(0, []string{"publisher  " + nextAt.Hex()}, "contract", "show")
	s.stop()

	configure(fmt.Sprintf(", publisher: %q, payer_key_file: %q", nextAt, payerFile))
	s.env = slices.DeleteFunc(s.env, func(e string) bool { return strings.HasPrefix(e, publish.PublisherRole.EnvKey()+"=") })
	daemon = s.start()
	load()
	s.says(exitUsage, []string{"anchor request"}, "anchor", "now")
	request := filepath.Join(s.root, "request.json")
	s.want(0, "anchor", "request", "--out", request)
	s.says(0, []string{"anchored in block"}, "anchor", "submit", "--key-file", nextFile, request)
	s.says(exitRuntime, []string{"make it anew"}, "anchor", "submit", "--key-file", nextFile, request)
	s.stop()
	hidden("the log", daemon.text())
	for _, log := range must(filepath.Glob(filepath.Join(s.root, "daemon.*.log"))) {
		hidden("the log", string(must(os.ReadFile(log))))
	}
}

// secondDaemon starts another daemon on the same directory and returns its last words.
func (s *site) secondDaemon() string {
	s.t.Helper()
	first := s.daemon
	defer func() { s.daemon = first }()
	p := s.tryStart()
	if code := p.wait(s.t, commandTime); code != exitUsage {
		s.t.Errorf("a second daemon ended with %d, want %d", code, exitUsage)
	}
	return p.tail()
}
