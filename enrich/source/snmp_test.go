package source

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tidemark/enrich/source/sourcetest"
)

// objects are a few of a router. Octet strings that are text: 62:63:64:65:66:67 and so on.
const objects = `rocommunity secret 127.0.0.1
createUser watcher SHA-256 "authentication" AES "privacy-phrase"
rouser watcher authpriv
override 1.3.6.1.2.1.4.1.0 integer 1
override 1.3.6.1.2.1.2.2.1.6.7 octet_str "bcdefg"
override 1.3.6.1.2.1.4.20.1.2.10.0.0.1 integer 7
override 1.3.6.1.2.1.4.35.1.4.7.1.4.10.0.0.2 octet_str "dcdefg"
override 1.3.6.1.2.1.4.35.1.4.7.2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.2 octet_str "dcdefg"
override 1.3.6.1.2.1.4.35.1.4.7.1.4.10.0.0.8 octet_str "x"
override 1.3.6.1.2.1.4.22.1.2.7.10.0.0.3 octet_str "fcdefg"
override 1.3.6.1.2.1.4.22.1.2.7.10.0.0.9 octet_str "abcdef"
override 1.3.6.1.2.1.17.1.4.1.2.3 integer 7
override 1.3.6.1.2.1.17.4.3.1.2.100.99.100.101.102.103 integer 3
override 1.3.6.1.2.1.17.4.3.1.2.101.99.100.101.102.103 integer 0
override 1.3.6.1.2.1.17.4.3.1.2.1.0.94.0.0.1 integer 3
override 1.3.6.1.2.1.17.7.1.2.2.1.2.20.102.99.100.101.102.103 integer 5
override 1.3.6.1.2.1.31.1.1.1.1.7 octet_str "swp3"
`

func TestWalk_RealSNMPDaemon(t *testing.T) {
	address := sourcetest.SNMP(t, objects)
	want := map[string]string{
		"10.0.0.1": "626364656667 true", "10.0.0.2": "646364656667 false", "2001:db8::2": "646364656667 false", "10.0.0.3": "666364656667 false",
	}
	for _, router := range []Router{
		{Address: address, Community: "secret", VRF: 4},
		{Address: address, User: "watcher", Auth: "sha256", AuthKey: "authentication", Privacy: "aes", PrivKey: "privacy-phrase", VRF: 4},
	} {
		var got Reading
		var err error
		for range 20 { // it needs a moment to open its socket
			if got, err = Walk(t.Context(), router); err == nil {
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, i := range got.Bindings {
			if i.VRF != 4 {
				t.Errorf("%s in VRF %d, want 4", i.Addr, i.VRF)
			}
			found[i.Addr.String()] = fmt.Sprintf("%012x %t", i.MAC, i.Gateway)
		}
		for a, w := range want {
			if found[a] != w {
				t.Errorf("user %q: %s: got %q, want %q", router.User, a, found[a], w)
			}
		}
		slices.SortFunc(got.Ports, func(a, b Port) int { return cmp.Compare(a.MAC, b.MAC) })
		if ports := []Port{{0x646364656667, "swp3"}, {0x666364656667, "port 5"}}; !slices.Equal(got.Ports, ports) {
			t.Errorf("user %q: bridge table %+v, want %+v: no group, and no station whose port is not known", router.User, got.Ports, ports)
		}
		if len(found["10.0.0.8"])+len(found["10.0.0.9"]) > 0 {
			t.Errorf("an incomplete entry or a group's MAC was taken: %v", found)
		}
	}
	for _, wrong := range []Router{{Address: address, Community: "guess"}, {Address: address, User: "watcher", Auth: "md5"}, {Address: address, User: "watcher", Privacy: "aes"}, {Address: "127.0.0.1:no"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a wrong community is not answered
		if r, err := Walk(ctx, wrong); err == nil {
			t.Errorf("%+v: %d bindings, want an error", wrong, len(r.Bindings))
		}
		cancel()
	}
}

func TestPhysicalIndex(t *testing.T) {
	for index, want := range map[string]string{
		"7.1.4.10.0.0.2": "10.0.0.2", "7.2.16.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1": "fe80::1",
		"7.4.20.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.7": "fe80::1", "7.3.8.10.0.0.2.0.0.0.7": "10.0.0.2",
		"7.1.4.10.0.0": "", "7.1.4.10.0.0.256": "", "": "", "7.2.16.1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23": "", "7.9.4.10.0.0.2": "",
	} {
		got, ok := physicalIndex(index)
		if ok != (want != "") || ok && got != netip.MustParseAddr(want) {
			t.Errorf("%q: got %v, %t, want %q", index, got, ok, want)
		}
	}
}
