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

// Role is what a key is for; each has environment variables of its own.
type Role string

const (
	PublisherRole Role = "publisher" // signs checkpoints, and pays unless there is a payer
	PayerRole     Role = "payer"     // pays for what the publisher signed
	RotatorRole   Role = "rotator"   // cold: names another publisher
)

// EnvKey is the variable that holds the key, 64 hex digits.
func (r Role) EnvKey() string { return "TIDEMARK_" + strings.ToUpper(string(r)) + "_KEY" }

// EnvPassphrase is the variable that holds the passphrase of an encrypted keystore.
func (r Role) EnvPassphrase() string {
	return "TIDEMARK_" + strings.ToUpper(string(r)) + "_PASSPHRASE"
}

// maxKeyFile bounds a key file; a keystore is half a kilobyte.
const maxKeyFile = 1 << 16

// ErrNoKey means that no key of this role is configured.
var ErrNoKey = errors.New("no key is configured")

func noKey(r Role) error {
	return fmt.Errorf("%w: %s: name a key file (an encrypted keystore or a hex key, mode 0600) or set %s", ErrNoKey, r, r.EnvKey())
}

// Key is the key of an account: it signs transactions, and checkpoints that
// another account pays for. It never prints itself.
type Key struct {
	key  *ecdsa.PrivateKey
	role Role
}

// LoadKey reads the key of a role: from file if one is named, else from the
// environment. A file is an encrypted keystore (Web3 Secret Storage), opened with
// the passphrase from the environment, or 64 hex digits; nobody but its owner may
// be able to read it.
func LoadKey(role Role, file string, getenv func(string) string) (*Key, error) {
	if file == "" {
		text := getenv(role.EnvKey())
		if text == "" {
			return nil, noKey(role)
		}
		k, err := parseKey(role, text)
		if err != nil {
			return nil, fmt.Errorf("%s key from %s: %w", role, role.EnvKey(), err)
		}
		return k, nil
	}
	k, err := readKey(role, file, getenv)
	if err != nil {
		return nil, fmt.Errorf("%s key: %w", role, err)
	}
	return k, nil
}

func readKey(role Role, file string, getenv func(string) string) (*Key, error) {
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
		k, err := parseKey(role, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return k, nil
	}
	phrase := getenv(role.EnvPassphrase())
	if phrase == "" {
		return nil, fmt.Errorf("%s is encrypted: set %s", file, role.EnvPassphrase())
	}
	k, err := keystore.DecryptKey(b, phrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Key{k.PrivateKey, role}, nil
}

// parseKey does not repeat what it read: it may be half a key.
func parseKey(role Role, text string) (*Key, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "0x"))
	if err != nil || len(b) != 32 {
		return nil, errors.New("want 64 hex digits")
	}
	k, err := crypto.ToECDSA(b)
	if err != nil {
		return nil, errors.New("not a key of secp256k1")
	}
	return &Key{k, role}, nil
}

// developmentKey returns the key kept in dir for development chains, and makes
// it on first use.
func developmentKey(dir string) (*Key, error) {
	file := filepath.Join(dir, "development.key")
	k, err := readKey(PublisherRole, file, func(string) string { return "" })
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
	return &Key{made, PublisherRole}, nil
}

// Address returns the account of the key.
func (k *Key) Address() common.Address { return crypto.PubkeyToAddress(k.key.PublicKey) }

// Sign signs a transaction for one chain.
func (k *Key) Sign(tx *types.Transaction, chainID uint64) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(new(big.Int).SetUint64(chainID)), k.key)
}

// signAnchor signs a digest of chain.AnchorDigest as `r || s || v`.
func (k *Key) signAnchor(digest common.Hash) ([]byte, error) {
	sig, err := crypto.Sign(digest[:], k.key)
	if err == nil {
		sig[64] += 27
	}
	return sig, err
}

// Format keeps the key out of every format verb.
func (k *Key) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%s %s", k.role, k.Address()) }

// MarshalText keeps the key out of every encoder.
func (k *Key) MarshalText() ([]byte, error) {
	return []byte(string(k.role) + " " + k.Address().String()), nil
}
