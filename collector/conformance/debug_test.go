package conformance
import ("testing";"fmt";"os";"path/filepath";"tidemark/collector/flow")
func TestDebug(t *testing.T) {
	f := os.Getenv("CAP"); if f == "" { t.Skip() }
	a := decode(datagrams(t, filepath.Join(captures(t), "exports", f)), flow.Replayed)
	for i, r := range a.results { und := ""
		for i, n := range r.Undecodable { if n > 0 { und += fmt.Sprintf(" %v=%d", flow.Reason(i), n) } }
		fmt.Println(i+1, r.Protocol, "dom", r.Domain, "seq", r.Sequence, "units", r.SequenceUnits, "flows", r.Flows, "rev", r.Reverse, "late", r.Late, "opt", r.OptionsRecords, "tpl", r.Templates, "wait", r.Waiting, "conf", r.Conflicts, und) }
	b := &a.batch
	for i := 0; i < b.Len() && i < 40; i++ {
		ext := ""
		b.Ext.Each(i, func(k uint64, v []byte) { p, id := flow.ExtensionID(k); if len(v) > 12 { v = v[:12] }; ext += fmt.Sprintf(" %d/%d=%x", p, id, v) })
		fmt.Println(show(b, i), ext)
	}
}
