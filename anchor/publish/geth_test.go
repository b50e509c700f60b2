package publish

import (
	"context"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/rs/zerolog"
)

// TestPublisher_OnGeth anchors on go-ethereum's own node, over HTTP: another
// client than Anvil, with other answers to the same questions.
func TestPublisher_OnGeth(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	key, err := parseKey(PublisherRole, secret)
	if err != nil {
		t.Fatal(err)
	}
	ether := new(big.Int).Mul(big.NewInt(100), big.NewInt(1e18))
	backend := simulated.NewBackend(types.GenesisAlloc{key.Address(): {Balance: ether}}, func(n *node.Config, _ *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth", "web3"}
	})
	defer backend.Close()
	log := newLog(7)
	skew := time.Duration(0)
	p, err := New(log, Config{
		Dir: t.TempDir(), Evidence: t.TempDir(), RPC: []string{fmt.Sprintf("http://127.0.0.1:%d", port)}, ChainID: 1337, Key: key, Rotator: common.Address{9},
		Now: func() time.Time { return time.Now().Add(skew) }, Log: zerolog.New(zerolog.NewTestWriter(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, grow := range []int{3, 1, 60} {
		log.grow(grow, 0)
		size, _ := log.Checkpoint()
		for range 20 {
			if err := p.step(context.Background()); err != nil {
				t.Fatal(err)
			}
			backend.Commit()
			skew += time.Hour
			if s := p.Status(); anchored(size)(s) && s.Evidence.Missing == 0 {
				break
			}
		}
		if s := p.Status(); !anchored(size)(s) || !s.Development || s.Backlog != 0 {
			t.Fatalf("status: %+v", s)
		} else if e := s.Evidence; e.Missing != 0 || e.WithoutState != 0 || e.Error != "" {
			t.Errorf("evidence: %+v", e)
		}
	}
}
