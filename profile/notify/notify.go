// Package notify tells people and their systems of alerts: it keeps a durable
// queue per channel and delivers from it until the receiver has taken each.
//
// Delivery is at least once: a crash between the receiver's yes and ours repeats
// the alert, with the same key. A receiver that is away delays alerts, and one
// that is slow delays only its own.
package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

const (
	attemptTime = 15 * time.Second // one attempt at delivery takes no longer
	minWait     = time.Second      // between attempts, doubled each time
	maxWait     = 5 * time.Minute
	maxRefusals = 5     // an alert refused so often for what it is, is set aside
	maxQueue    = 10000 // alerts waiting in one channel; those that come after it are only in `tidemark alerts`
)

// ErrNoChannel says that no channel has the name asked for.
var ErrNoChannel = errors.New("no such channel")

// Options is what a Notifier needs.
type Options struct {
	Dir        string // of the queues, made if missing
	Site       string
	Version    string // of the program, for formats that name it
	Channels   []Channel
	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: not counted

	wait func(context.Context, time.Duration) error // nil: sleeps; tests hurry
}

// Notifier delivers alerts to the channels.
type Notifier struct {
	options  Options
	channels []*delivery
	results  *prometheus.CounterVec
}

// delivery is one channel at work.
type delivery struct {
	Channel
	sender sender
	queue  *queue

	mu     sync.Mutex
	failed error // of the last attempt, nil: it went well
}

// New opens the queues. It sends nothing.
func New(o Options) (*Notifier, error) {
	if o.wait == nil {
		o.wait = sleep
	}
	n := &Notifier{options: o, results: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidemark_notify_deliveries_total", Help: "Attempts to deliver an alert, by channel and result.",
	}, []string{"channel", "result"})}
	for _, c := range o.Channels {
		s, err := c.sender()
		if err != nil {
			return nil, err
		}
		q, err := openQueue(o.Dir, c.Name)
		if err != nil {
			return nil, fmt.Errorf("open the queue of channel %s: %w", c.Name, err)
		}
		n.channels = append(n.channels, &delivery{Channel: c, sender: s, queue: q})
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(n.results)
		for _, d := range n.channels {
			o.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "tidemark_notify_queue_alerts", Help: "Alerts that wait for delivery.", ConstLabels: prometheus.Labels{"channel": d.Name},
			}, func() float64 { return float64(d.queue.len()) }))
		}
	}
	return n, nil
}

// Enqueue takes an alert for every channel that wants it; when it returns nil
// it is on disk. It may be given the same alert again.
func (n *Notifier) Enqueue(a Alert) error {
	var errs []error
	for _, d := range n.channels {
		if !d.wants(&a) {
			continue
		}
		err := d.queue.add(&a)
		if errors.Is(err, errQueueFull) {
			n.results.WithLabelValues(d.Name, "overflow").Inc()
			n.options.Log.Error().Str("channel", d.Name).Str("alert", a.ID).Int("waiting", maxQueue).
				Msg("the queue of a channel is full: this alert is in `tidemark alerts` only")
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("queue alert %s for channel %s: %w", a.ID, d.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Run delivers until ctx ends. What is not delivered then stays in the queues.
func (n *Notifier) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, d := range n.channels {
		group.Go(func() error { n.deliver(ctx, d); return nil })
	}
	return group.Wait()
}

// deliver sends what is queued for d, in order, each until it is taken.
func (n *Notifier) deliver(ctx context.Context, d *delivery) {
	for {
		item, err := d.queue.next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // not a file of ours, or half a disk: it must not hold up the rest
			n.setAside(d, item, err)
			continue
		}
		if !n.persist(ctx, d, item) {
			return
		}
	}
}

// persist sends one alert until it is taken or set aside; false: ctx ended.
func (n *Notifier) persist(ctx context.Context, d *delivery, item queued) bool {
	wait, refusals := minWait, 0
	for {
		err := n.attempt(ctx, d, &item.alert)
		if ctx.Err() != nil {
			return false // taken or not: it is sent again after the restart
		}
		d.note(err)
		if err == nil {
			n.results.WithLabelValues(d.Name, "delivered").Inc()
			if err := d.queue.remove(item.name); err != nil {
				n.options.Log.Error().Err(err).Str("channel", d.Name).Msg("a delivered alert stays in its queue and is sent again after a restart")
			}
			return true
		}
		n.results.WithLabelValues(d.Name, "failed").Inc()
		var refused refusal
		if errors.As(err, &refused) {
			if refusals++; refusals >= maxRefusals {
				n.setAside(d, item, err)
				return true
			}
		}
		n.options.Log.Warn().Err(err).Str("channel", d.Name).Str("alert", item.alert.ID).Dur("retry_in", wait).Int("waiting", d.queue.len()).
			Msg("alert is not delivered yet")
		if n.options.wait(ctx, wait) != nil {
			return false
		}
		wait = min(2*wait, maxWait)
	}
}

// setAside takes an alert that cannot be delivered out of the way.
func (n *Notifier) setAside(d *delivery, item queued, cause error) {
	n.results.WithLabelValues(d.Name, "rejected").Inc()
	path, err := d.queue.setAside(item.name)
	n.options.Log.Error().Err(errors.Join(cause, err)).Str("channel", d.Name).Str("file", path).Str("alert", item.alert.ID).
		Msg("alert cannot be delivered and is set aside; it is in `tidemark alerts` too")
}

func (n *Notifier) attempt(ctx context.Context, d *delivery, a *Alert) error {
	a = a.clean()
	body, err := d.Format.encode(a, n.options.Version)
	if err != nil {
		return refusal{err}
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	return d.sender.send(ctx, a, body)
}

func (d *delivery) note(err error) {
	d.mu.Lock()
	d.failed = err
	d.mu.Unlock()
}

// Test sends a made-up alert through one channel, past its queue, by the same
// way as real ones.
func (n *Notifier) Test(ctx context.Context, channel string) error {
	i := slices.IndexFunc(n.channels, func(d *delivery) bool { return d.Name == channel })
	if i < 0 {
		return fmt.Errorf("test channel %q: %w", channel, ErrNoChannel)
	}
	a := sample(n.options.Site, time.Now())
	return n.attempt(ctx, n.channels[i], &a)
}

// Status is where a channel stands.
type Status struct {
	Channel string `json:"channel"`
	To      string `json:"to"` // without secrets
	Format  Format `json:"format"`
	Waiting int    `json:"waiting"`
	Aside   int    `json:"set_aside"`
	Error   string `json:"error,omitempty"` // of the last attempt of this process
}

// Status reads where every channel stands.
func (n *Notifier) Status() []Status {
	var out []Status
	for _, d := range n.channels {
		s := Status{Channel: d.Name, To: d.target(), Format: d.Format, Waiting: d.queue.len(), Aside: d.queue.asideLen()}
		d.mu.Lock()
		if d.failed != nil {
			s.Error = d.failed.Error()
		}
		d.mu.Unlock()
		out = append(out, s)
	}
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
