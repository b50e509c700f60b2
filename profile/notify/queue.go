package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

var errQueueFull = errors.New("the queue is full")

// queue is the alerts that wait for one channel: a directory with a file for
// each, whose names sort in the order they came. A file appears whole (written
// beside, synced, renamed), so a crash leaves it or does not.
type queue struct {
	dir string

	mu    sync.Mutex
	names []string // of the files, in order
	last  uint64   // number of the newest file
	aside int      // files set aside
	added chan struct{}
}

// queued is one waiting alert.
type queued struct {
	name  string
	alert Alert
}

const (
	asideDir  = "rejected"
	temporary = ".new"
)

func openQueue(dir, channel string) (*queue, error) {
	q := &queue{dir: filepath.Join(dir, channel), added: make(chan struct{}, 1)}
	if err := os.MkdirAll(filepath.Join(q.dir, asideDir), 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), temporary): // of a crash: its alert was never said to be queued
			if err := os.Remove(filepath.Join(q.dir, e.Name())); err != nil {
				return nil, err
			}
		case strings.HasSuffix(e.Name(), ".json"):
			var number uint64
			if _, err := fmt.Sscanf(e.Name(), "%020d-", &number); err != nil {
				return nil, fmt.Errorf("%s: not a file of this queue: move it away", filepath.Join(q.dir, e.Name()))
			}
			q.names, q.last = append(q.names, e.Name()), max(q.last, number)
		}
	}
	slices.Sort(q.names)
	set, err := os.ReadDir(filepath.Join(q.dir, asideDir))
	q.aside = len(set)
	return q, err
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.names)
}

func (q *queue) asideLen() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.aside
}

// add makes a durable. An alert that waits already is not added again.
func (q *queue) add(a *Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	end := "-" + a.Key() + ".json"
	if slices.ContainsFunc(q.names, func(n string) bool { return strings.HasSuffix(n, end) }) {
		return nil
	}
	if len(q.names) >= maxQueue {
		return errQueueFull
	}
	name := fmt.Sprintf("%020d%s", q.last+1, end)
	if err := writeFile(q.dir, name, body); err != nil {
		return err
	}
	q.last++
	q.names = append(q.names, name)
	select {
	case q.added <- struct{}{}:
	default:
	}
	return nil
}

// next waits for the oldest alert and reads it.
func (q *queue) next(ctx context.Context) (queued, error) {
	for {
		q.mu.Lock()
		var name string
		if len(q.names) > 0 {
			name = q.names[0]
		}
		q.mu.Unlock()
		if name != "" {
			item := queued{name: name}
			body, err := os.ReadFile(filepath.Join(q.dir, name))
			if err == nil {
				err = json.Unmarshal(body, &item.alert)
			}
			if err != nil {
				err = fmt.Errorf("read queued alert %s: %w", name, err)
			}
			return item, err
		}
		select {
		case <-q.added:
		case <-ctx.Done():
			return queued{}, ctx.Err()
		}
	}
}

// remove forgets a delivered alert.
func (q *queue) remove(name string) error {
	q.forget(name)
	return os.Remove(filepath.Join(q.dir, name))
}

// setAside moves an alert out of the queue and returns where to.
func (q *queue) setAside(name string) (string, error) {
	q.forget(name)
	path := filepath.Join(q.dir, asideDir, name)
	err := os.Rename(filepath.Join(q.dir, name), path)
	if err == nil {
		q.mu.Lock()
		q.aside++
		q.mu.Unlock()
	} else if errors.Is(err, fs.ErrNotExist) { // somebody took it away: then it is out of the way
		err = nil
	}
	return path, err
}

func (q *queue) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.names = slices.DeleteFunc(q.names, func(n string) bool { return n == name })
}

// writeFile makes dir/name appear with body, both synced.
func writeFile(dir, name string, body []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+temporary))
	}
	if err := os.Rename(path+temporary, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
