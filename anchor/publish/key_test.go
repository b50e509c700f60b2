package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/rs/zerolog"
)

const secret = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func encrypted(t *testing.T, phrase string) string {
	t.Helper()
	key, err := crypto.HexToECDSA(secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keystore.EncryptKey(&keystore.Key{Address: crypto.PubkeyToAddress(key.PublicKey), PrivateKey: key}, phrase, keystore.LightScryptN, keystore.LightScryptP)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLoadKey_FromEveryPlace(t *testing.T) {
	want := "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
	for name, c := range map[string]struct {
		file string
		env  func(string) string
	}{
		"hex file":    {write(t, secret+"\n", 0o600), env()},
		"0x file":     {write(t, "0x"+secret, 0o400), env()},
		"environment": {"", env(PublisherRole.EnvKey(), secret)},
		"keystore":    {write(t, encrypted(t, "open sesame"), 0o600), env(PublisherRole.EnvPassphrase(), "open sesame")},
	} {
		k, err := LoadKey(PublisherRole, c.file, c.env)
		if err != nil || k.Address().String() != want {
			t.Errorf("%s: %v, %v, want %s", name, k, err, want)
		}
	}
}

func TestLoadKey_RefusesAndNeverRepeatsWhatItRead(t *testing.T) {
	half := secret[:40]
	for name, c := range map[string]struct {
		file, want string
		env        func(string) string
	}{
		"nothing":          {"", ErrNoKey.Error(), env()},
		"no such file":     {"/no/such/file", "no such file", env()},
		"others may read":  {write(t, secret, 0o644), "chmod 600", env()},
		"half a key":       {write(t, half, 0o600), "64 hex digits", env()},
		"not hex":          {"", "64 hex digits", env(PublisherRole.EnvKey(), strings.Repeat("z", 64))},
		"zero":             {"", "not a key", env(PublisherRole.EnvKey(), strings.Repeat("0", 64))},
		"beyond the order": {"", "not a key", env(PublisherRole.EnvKey(), strings.Repeat("f", 64))},
		"no passphrase":    {write(t, encrypted(t, "a"), 0o600), PublisherRole.EnvPassphrase(), env()},
		"wrong passphrase": {write(t, encrypted(t, "a"), 0o600), "could not decrypt", env(PublisherRole.EnvPassphrase(), "b")},
		"huge":             {write(t, strings.Repeat("a", maxKeyFile+1), 0o600), "no key", env()},
		"broken keystore":  {write(t, `{"crypto":{}}`, 0o600), "", env(PublisherRole.EnvPassphrase(), "b")},
	} {
		_, err := LoadKey(PublisherRole, c.file, c.env)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), half) {
			t.Errorf("%s: got %v, want an error with %q and without the key", name, err, c.want)
		}
	}
	if _, err := LoadKey(PublisherRole, "", env()); !errors.Is(err, ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestKey_NeverPrintsItself(t *testing.T) {
	k, err := parseKey(PublisherRole, secret)
	if err != nil {
		t.Fatal(err)
	}
	out := new(bytes.Buffer)
	cfg := Config{Key: k}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(out, verb+" "+verb+"\n", k, cfg)
	}
	log := zerolog.New(out)
	log.Info().Interface("key", k).Any("config", map[string]any{"key": k}).Msg("")
	j, _ := json.Marshal(map[string]any{"key": k})
	out.Write(j)
	decimal := new(big.Int).SetBytes(crypto.FromECDSA(k.key)).String()
	for _, form := range []string{secret[8:40], strings.ToUpper(secret[8:40]), decimal[:20]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the key is in the output: %s", out)
		}
	}
}
