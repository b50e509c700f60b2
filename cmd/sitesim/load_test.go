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
