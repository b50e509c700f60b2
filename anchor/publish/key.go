package publish

import (
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"tidemark/anchor/chain"
)

// Environment variables that LoadKey reads.
const (
	EnvKey        = "TIDEMARK_PUBLISHER_KEY"        // the key, 64 hex digits
	EnvPassphrase = "TIDEMARK_PUBLISHER_PASSPHRASE" // of an encrypted keystore
)

// maxKeyFile bounds a key file; a keystore is half a kilobyte.
const maxKeyFile = 1 << 16

// ErrNoKey means that no publisher key is configured.
var ErrNoKey = fmt.Errorf("no publisher key: configure a key file (an encrypted keystore or a hex key, mode 0600) or set %s", EnvKey)

// Key is the publisher key: it signs transactions and pays for them. It never
// prints itself.
type Key struct{ key *ecdsa.PrivateKey }

// LoadKey reads the publisher key: from file if one is named, else from the
// environment. A file is an encrypted keystore (Web3 Secret Storage), opened with
// the passphrase from the environment, or 64 hex digits; nobody but its owner may
// be able to read it.
func LoadKey(file string, getenv func(string) string) (*Key, error) {
	if file == "" {
		text := getenv(EnvKey)
		if text == "" {
			return nil, ErrNoKey
		}
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("publisher key from %s: %w", EnvKey, err)
		}
		return k, nil
	}
	k, err := readKey(file, getenv)
	if err != nil {
		return nil, fmt.Errorf("publisher key: %w", err)
	}
	return k, nil
}

func readKey(file string, getenv func(string) string) (*Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", file, mode, file)
	}
	if info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s has %d octets, which is no key", file, info.Size())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(b))
	if !strings.HasPrefix(text, "{") {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return k, nil
	}
	phrase := getenv(EnvPassphrase)
	if phrase == "" {
		return nil, fmt.Errorf("%s is encrypted: set %s", file, EnvPassphrase)
	}
	k, err := keystore.DecryptKey(b, phrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Key{k.PrivateKey}, nil
}

// parseKey does not repeat what it read: it may be half a key.
func parseKey(text string) (*Key, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "0x"))
	if err != nil || len(b) != 32 {
		return nil, errors.New("want 64 hex digits")
	}
	k, err := crypto.ToECDSA(b)
	if err != nil {
		return nil, errors.New("not a key of secp256k1")
	}
	return &Key{k}, nil
}

// developmentKey returns the key kept in dir for development chains, and makes
// it on first use.
func developmentKey(dir string) (*Key, error) {
	file := filepath.Join(dir, "development.key")
	k, err := readKey(file, func(string) string { return "" })
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	made, err := crypto.GenerateKey()
	if err == nil {
		err = chain.WriteFileSync(file, []byte(hex.EncodeToString(crypto.FromECDSA(made))+"\n"))
	}
	if err != nil {
		return nil, fmt.Errorf("make development key: %w", err)
	}
	return &Key{made}, nil
}

// Address returns the account of the key.
func (k *Key) Address() common.Address { return crypto.PubkeyToAddress(k.key.PublicKey) }

// Sign signs a transaction for one chain.
func (k *Key) Sign(tx *types.Transaction, chainID uint64) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(new(big.Int).SetUint64(chainID)), k.key)
}

// Format keeps the key out of every format verb.
func (k *Key) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "publisher %s", k.Address()) }

// MarshalText keeps the key out of every encoder.
func (k *Key) MarshalText() ([]byte, error) { return []byte("publisher " + k.Address().String()), nil }
