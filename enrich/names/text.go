package names

import (
	"bytes"
	"strings"
)

// maxLines bounds the header lines of HTTP and SSDP that are looked at.
const maxLines = 32

// headers calls f for each whole "Name: value" line behind the first line, which
// it returns. A line that the sample cut is left out.
func headers(payload []byte, f func(name, value string)) (first string) {
	for i := 0; i < maxLines; i++ {
		line, rest, whole := bytes.Cut(payload, []byte("\r\n"))
		if !whole {
			return first
		}
		payload = rest
		if i == 0 {
			first = string(line[:min(len(line), 64)])
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) > 32 || len(value) > maxValue+8 {
			return first
		}
		f(strings.ToLower(string(name)), strings.TrimSpace(string(value)))
	}
	return first
}

// http reads the Host a client wants, and the Server that answers (RFC 9110,
// Sections 7.2 and 10.2.4).
func (r *reader) http(payload []byte) bool {
	var host, server string
	first := headers(payload, func(name, value string) {
		switch name {
		case "host":
			host, _, _ = strings.Cut(strings.ToLower(value), ":")
		case "server":
			server = value
		}
	})
	switch {
	case strings.HasPrefix(first, "HTTP/1."):
		r.say(r.src(), VendorInfo, HTTP, server)
	case strings.Contains(first, " HTTP/1.") && domain(host) && !isAddress(host):
		r.say(r.src(), Domain, HTTP, host)
		r.say(Observation{Addr: r.dst().Addr}, Address, HTTP, host)
	}
	return false
}

// isAddress: digits and dots only.
func isAddress(host string) bool { return strings.Trim(host, "0123456789.") == "" }

// ssdp reads announcements, searches and answers (UPnP Device Architecture 2.0,
// Section 1): type and server. Who only searches says little of itself.
func (r *reader) ssdp(payload []byte) bool {
	var kind, server string
	first := headers(payload, func(name, value string) {
		switch name {
		case "nt", "st":
			kind = value
		case "server":
			server = value
		}
	})
	if !strings.HasPrefix(first, "NOTIFY ") && !strings.HasPrefix(first, "HTTP/1.") {
		return first != "" && !strings.HasPrefix(first, "M-SEARCH ")
	}
	if kind != "" && !strings.HasPrefix(kind, "uuid:") && kind != "upnp:rootdevice" {
		r.say(r.src(), Discovery, SSDP, kind)
	}
	r.say(r.src(), VendorInfo, SSDP, server)
	return false
}
