package conformance
import ("fmt";"net/netip";"time";"tidemark/collector/flow")
func show(b *flow.Batch, i int) string {
	a := func(x [16]byte) netip.Addr { return netip.AddrFrom16(x).Unmap() }
	tm := func(n int64) string { if n == 0 { return "-" }; return time.Unix(0, n).UTC().Format("2006-01-02T15:04:05.999999999") }
	return fmt.Sprintf("[%d] %v:%d>%v:%d p%d b%d k%d %s..%s fl%x mac %012x>%012x vl%d/%d if%d/%d as%d/%d tos%d dir%d end%d fw%d nat%d sr%d pr%04x q%04x", i, a(b.SrcAddr[i]), b.SrcPort[i], a(b.DstAddr[i]), b.DstPort[i], b.Proto[i], b.Bytes[i], b.Packets[i], tm(b.TimeFlowStart[i]), tm(b.TimeFlowEnd[i]), b.TCPFlags[i], b.SrcMAC[i], b.DstMAC[i], b.SrcVLAN[i], b.DstVLAN[i], b.InIf[i], b.OutIf[i], b.SrcAS[i], b.DstAS[i], b.TOS[i], b.Direction[i], b.EndReason[i], b.FirewallEvent[i], b.NATEvent[i], b.SamplingRate[i], b.Presence[i], b.Quality[i])
}
