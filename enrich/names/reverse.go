package names

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

//go:embed query/unnamed.sql
var unnamedSQL string

// Reverse is the source of names that DNS gave for an address (PTR). Whoever has
// the address decides what it is called: such a name is shown, and no evidence.
const Reverse Source = "reverse"

const (
	reversePause   = time.Minute     // between two looks for addresses without a name
	reverseRate    = 5               // questions a second, at most
	reverseWorkers = 4               // questions at once
	reverseTimeout = 5 * time.Second // of a question
	reverseMost    = reverseRate * int(reversePause/time.Second)

	// An address without a name, or whose question failed, is asked for again
	// after a day; maxAsked such answers are remembered.
	reverseAgain = 24 * time.Hour
	maxAsked     = 1 << 16
)

// Resolver answers what names an address has; *net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Reverser asks DNS for the names of addresses that devices dealt with. Nothing
// waits for it: it reads what is stored, asks at its own pace, and has the Book
// store what it learned.
type Reverser struct {
	book     *Book
	resolver Resolver
	now      func() time.Time
	asked    map[string]time.Time
}

// NewReverser does no work.
func NewReverser(b *Book, r Resolver, now func() time.Time) *Reverser {
	return &Reverser{book: b, resolver: r, now: now, asked: map[string]time.Time{}}
}

// Run asks until ctx ends.
func (r *Reverser) Run(ctx context.Context) {
	tick := time.NewTicker(reversePause)
	defer tick.Stop()
	for {
		if err := r.Ask(ctx); err != nil && ctx.Err() == nil {
			r.book.config.Log.Error().Err(err).Msg("ask DNS for names of addresses: tried again in a minute")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Ask asks for the addresses that have no name and were not asked for lately, a
// minute's worth of them at most.
func (r *Reverser) Ask(ctx context.Context) error {
	addrs, err := r.unnamed(ctx)
	if err != nil {
		return fmt.Errorf("find addresses without a name: %w", err)
	}
	pace := time.NewTicker(time.Second / reverseRate)
	defer pace.Stop()
	questions := make(chan netip.Addr)
	var workers sync.WaitGroup
	for range reverseWorkers {
		workers.Go(func() {
			for a := range questions {
				r.ask(ctx, a)
			}
		})
	}
	defer workers.Wait()
	defer close(questions)
	for _, a := range addrs {
		r.asked[a.String()] = r.now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case questions <- a:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
	}
	return nil
}

func (r *Reverser) unnamed(ctx context.Context) (out []netip.Addr, err error) {
	if len(r.asked) > maxAsked {
		clear(r.asked)
	}
	// Those that have no name stay at the head of the list: look behind them.
	p := clickhouse.Parameters{"site": r.book.config.Site, "most": strconv.Itoa(reverseMost + len(r.asked))}
	rows, err := r.book.db.Conn().Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), unnamedSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() && len(out) < reverseMost {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		a, err := netip.ParseAddr(text)
		if err != nil || !a.IsGlobalUnicast() || a.IsPrivate() || r.now().Sub(r.asked[text]) < reverseAgain {
			continue
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// ask has one address answered; of its names the first that is one counts.
func (r *Reverser) ask(ctx context.Context, a netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, reverseTimeout)
	defer cancel()
	found, err := r.resolver.LookupAddr(ctx, a.String())
	if err != nil {
		return
	}
	for _, name := range found {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if len(name) <= maxValue && domain(name) {
			r.book.mu.Lock()
			r.book.note(Observation{Kind: Address, Source: Reverse, Value: name, Addr: netip.AddrFrom16(a.As16())}, r.now().UnixNano())
			r.book.mu.Unlock()
			return
		}
	}
}
