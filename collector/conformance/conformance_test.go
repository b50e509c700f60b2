package conformance

import (
	"fmt"
	"path/filepath"
	"testing"

	"tidemark/collector/flow"
)

func TestExplore(t *testing.T) {
	dir := captures(t)
	for _, c := range manifest(t, filepath.Join(dir, "exports", "MANIFEST.tsv")) {
		a := decode(datagrams(t, filepath.Join(dir, "exports", c["capture"])), flow.Replayed)
		mark := ""
		if a.records+a.OptionsRecords != atoi(c["records_tshark"])+atoi(c["sflow_flow_samples"]) { mark += " RECORDS" }
		if a.datagrams != atoi(c["datagrams"]) { mark += " DATAGRAMS" }
		if a.Templates != atoi(c["templates"])+atoi(c["option_templates"]) { mark += " TEMPLATES" }
		if a.CounterSamples != atoi(c["sflow_counter_samples"]) { mark += " COUNTERS" }
		und := ""
		for i, n := range a.Undecodable { if n > 0 { und += fmt.Sprintf(" %v=%d", flow.Reason(i), n) } }
		fmt.Printf("%s: dg %d/%s rec %d+%d/%s(+%s) tpl %d/%s+%s cnt %d/%s rev %d late %d wait %d left %d conf %d und%s |%s\n", c["capture"], a.datagrams, c["datagrams"], a.records, a.OptionsRecords, c["records_tshark"], c["sflow_flow_samples"], a.Templates, c["templates"], c["option_templates"], a.CounterSamples, c["sflow_counter_samples"], a.Reverse, a.Late, a.Waiting, a.waiting, a.Conflicts, und, mark)
	}
}
