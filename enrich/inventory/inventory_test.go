package inventory

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func describe(l List) (out []string) {
	for _, i := range l.Items {
		var macs []string
		for _, m := range i.MACs {
			macs = append(macs, MAC(m))
		}
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %v %v gateway=%t %s %s %s", i.Name, macs, i.Addresses, i.Gateway, i.Kind, i.Criticality, i.Owner), " "))
	}
	return out
}

func TestRead_EveryForm(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
		lines      []int
	}{
		{"YAML", `
# the cameras
devices:
  - name: lobby
    mac: 00:40:8c:00:00:01
    address: [10.0.0.2, "2001:db8::2"]
    kind: camera
    criticality: high
  - {name: router, mac: ["00:1c:7f:53:d0:28", 00-1c-7f-53-d0-29], address: 10.0.0.1, role: gateway}
  - {name: bad, mac: 00:40:8c}
  - {name: nothing}
  - {name: odd, mac: 00408c000009, colour: red}
  - {name: twin, mac: 00:40:8c:00:00:01, address: 10.0.0.9}
`, []string{
			"lobby [00:40:8c:00:00:01] [10.0.0.2 2001:db8::2] gateway=false camera high",
			"router [00:1c:7f:53:d0:28 00:1c:7f:53:d0:29] [10.0.0.1] gateway=true",
			"twin [] [10.0.0.9] gateway=false",
		}, []int{10, 11, 12, 13}},
		{"JSON", `[{"name": "lobby", "mac": "00:40:8c:00:00:01", "address": null}, {"mac": 5}]`, []string{"lobby [00:40:8c:00:00:01] [] gateway=false"}, []int{1}},
		{"CSV", "Name;x,MAC,IP,Criticality,Extra\nlobby,00:40:8c:00:00:01,10.0.0.2 10.0.0.3,low,1\nbad,00:40:8c:00:00:02,10.0.0,,\n\nx,00:40:8c:00:00:03,,urgent,\n",
			[]string{" [00:40:8c:00:00:01] [10.0.0.2 10.0.0.3] gateway=false  low"}, []int{3, 5}},
		{"NetAlertX", file(t, "netalertx.csv"), []string{"Lobby camera [00:40:8c:00:00:01] [10.0.0.2] gateway=false Camera  House", " [24:0a:c4:00:00:02] [10.0.0.3] gateway=false"}, []int{2}},
		{"nmap", file(t, "nmap.xml"), []string{"lobby.lan [00:40:8c:00:00:01] [10.0.0.2] gateway=false", " [] [10.0.0.4] gateway=false"}, []int{}},
		{"nmap cut short", strings.SplitAfter(file(t, "nmap.xml"), "</host>\n")[0] + "<host><status state=\"up\"/>", []string{"lobby.lan [00:40:8c:00:00:01] [10.0.0.2] gateway=false"}, []int{12}},
	}
	for _, tt := range tests {
		l, err := Read([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := describe(l); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%q\nwant\n%q", tt.name, got, tt.want)
		}
		lines := []int{}
		for _, f := range l.Faults {
			lines = append(lines, f.Line)
		}
		if !slices.Equal(lines, append([]int{}, tt.lines...)) {
			t.Errorf("%s: faults %v, want lines %v", tt.name, l.Faults, tt.lines)
		}
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRead_RefusesWhatIsNoInventory(t *testing.T) {
	for _, text := range []string{"", " \n", "a,b\n1,2\n", "<html></html>", "- [", "{}", "key: value\n", "\x00\x01\x02", strings.Repeat("x", maxFile+1)} {
		if l, err := Read([]byte(text)); err == nil {
			t.Errorf("%.20q: read as %d devices, want an error", text, len(l.Items))
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"netalertx.csv", "nmap.xml"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("- {name: lobby, mac: 00:40:8c:00:00:01, address: [10.0.0.2]}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := Read(text)
		if err != nil {
			return
		}
		for _, i := range l.Items {
			if len(i.MACs)+len(i.Addresses) == 0 || len(i.MACs) > maxMany || len(i.Addresses) > maxMany || len(i.Name) > maxText {
				t.Fatalf("read %+v", i)
			}
		}
		l.Bindings()
	})
}

// What devices export marks as no formula comes back as it was.
func TestRead_TakesOffTheMarkOfNoFormula(t *testing.T) {
	l, err := Read([]byte("name,mac\n'=lamp,00:40:8c:00:00:01\n'quoted',00:40:8c:00:00:02\n"))
	if err != nil || len(l.Items) != 2 || l.Items[0].Name != "=lamp" || l.Items[1].Name != "'quoted'" {
		t.Errorf("got %+v, %v, want =lamp and 'quoted'", l.Items, err)
	}
}

func TestRead_NamesAreOneLineOfText(t *testing.T) {
	l, err := Read([]byte("name,mac,note\na\x1b[2J,00:40:8c:00:00:01,\nb\u202ec,00:40:8c:00:00:02,\nd\xff,00:40:8c:00:00:03,\nlamp,00:40:8c:00:00:04,\"of two\nlines\"\n"))
	if err != nil || len(l.Items) != 1 || l.Items[0].Note != "of two lines" || len(l.Faults) != 3 {
		t.Errorf("got %+v, faults %v, %v; want the lamp and three faults", l.Items, l.Faults, err)
	}
}
