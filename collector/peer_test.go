package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// totals are those that two collectors are compared by.
type totals struct{ flows, packets, octets uint64 }

func (t *totals) add(u totals) {
	t.flows, t.packets, t.octets = t.flows+u.flows, t.packets+u.packets, t.octets+u.octets
}

// peer is nfcapd or sfcapd (Debian nfdump), beside which we are run.
type peer struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	dir     string
}

func startPeer(t *testing.T, name string) *peer {
	t.Helper()
	program := tool(t, name)
	port := 12_000 + rand.IntN(20_000) // below those that the kernel hands out by itself
	p := &peer{t: t, address: fmt.Sprintf("127.0.0.1:%d", port), dir: t.TempDir()}
	p.cmd = exec.Command(program, "-b", "127.0.0.1", "-p", strconv.Itoa(port), "-w", p.dir, "-t", "3600", "-B", strconv.Itoa(8<<20))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	socket := fmt.Sprintf("0100007F:%04X ", port)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		open, err := os.ReadFile("/proc/net/udp")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(open), socket) {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen on %s", name, p.address)
		}
	}
}

// totals ends the peer and returns what it stored.
func (p *peer) totals() (sum totals) {
	p.t.Helper()
	time.Sleep(200 * time.Millisecond) // it has no way to say that it has read all
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait()
	files, err := filepath.Glob(filepath.Join(p.dir, "nfcapd.*"))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("%s stored nothing (%v)", p.cmd.Path, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range files {
		out, err := exec.CommandContext(ctx, tool(p.t, "nfdump"), "-r", f, "-I").Output()
		if err != nil {
			p.t.Fatalf("nfdump -r %s -I: %v", f, err)
		}
		number := func(name string) uint64 {
			m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(out)
			if m == nil {
				p.t.Fatalf("nfdump -I says no %s:\n%s", name, out)
			}
			n, _ := strconv.ParseUint(string(m[1]), 10, 64)
			return n
		}
		sum.add(totals{number("Flows"), number("Packets"), number("Bytes")})
	}
	return sum
}
