package main

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/load"
)

func TestLoad_ArrivesWithCorrectSequenceNumbers(t *testing.T) {
	conn, to := listen(t)
	mix := []export.Protocol{export.NetFlow5, export.NetFlow9, export.IPFIX, export.SFlow}
	r, err := load.Run(context.Background(), load.Options{To: to, Mix: mix, Sources: 2, Rate: 20000, Duration: 300 * time.Millisecond, Pool: 1024, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	d, datagrams := newDecoder(t), uint64(0)
	drain(t, conn, func(src netip.AddrPort, payload []byte) {
		datagrams++
		if err := d.send(src.Addr().String(), export.Datagram{Payload: payload, Records: unknown}); err != nil {
			t.Fatal(err)
		}
	})
	if datagrams != r.Datagrams || uint64(d.flows) != r.Flows || r.Flows == 0 {
		t.Errorf("%d datagrams with %d flows arrived, %d with %d were sent", datagrams, d.flows, r.Datagrams, r.Flows)
	}
	for p, s := range r.ByProtocol {
		if s.Flows < r.Flows/8 {
			t.Errorf("%s sent %d of %d flows, want about a quarter", p, s.Flows, r.Flows)
		}
	}
}

// TestLoad_SendsFlowsOfNow: what is sent again and again has not happened long ago.
func TestLoad_SendsFlowsOfNow(t *testing.T) {
	conn, to := listen(t)
	mix := []export.Protocol{export.NetFlow5, export.NetFlow9, export.IPFIX}
	done := make(chan error, 1)
	go func() {
		_, err := load.Run(context.Background(), load.Options{To: to, Mix: mix, Sources: 1, Rate: 4000, Duration: 2500 * time.Millisecond, Pool: 1024, Seed: 1})
		done <- err
	}()
	d := newDecoder(t)
	for running := true; running; {
		select {
		case err := <-done:
			if running = false; err != nil {
				t.Fatal(err)
			}
		case <-time.After(100 * time.Millisecond):
		}
		drain(t, conn, func(src netip.AddrPort, payload []byte) {
			if err := d.send(src.Addr().String(), export.Datagram{Payload: payload, Records: unknown}); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, r := range d.records {
		if age := r.exported - r.start; age < -1100 || age > 10_100 {
			t.Fatalf("%s exports a flow that began %d ms before, want 0 to 10000", r.router, age)
		}
	}
}
