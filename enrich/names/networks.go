package names

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Networks says whose network an address is in, from files in MaxMind's format
// (MMDB) that the operator has: GeoLite2, DB-IP, IPinfo and others have them. Its
// zero value knows nothing. It is safe for concurrent use.
type Networks struct {
	asn, country *maxminddb.Reader
}

// Network is what is known of the network of an address.
type Network struct {
	ASN     uint32 `json:"asn"`
	Org     string `json:"org"`     // organisation the AS belongs to
	Country string `json:"country"` // ISO 3166-1, two letters
}

// OpenNetworks opens a file of autonomous systems and one of countries; either
// may be "". A file of another kind, or one that is not whole, is refused.
func OpenNetworks(asn, country string) (*Networks, error) {
	n := &Networks{}
	var err1, err2 error
	n.asn, err1 = openMMDB(asn, "autonomous systems", "ASN", "ISP")
	n.country, err2 = openMMDB(country, "countries", "COUNTRY", "CITY", "ENTERPRISE")
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// openMMDB opens a file whose type holds one of words.
func openMMDB(path, what string, words ...string) (*maxminddb.Reader, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readMMDB(path)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", path, what, err)
	}
	r, err := maxminddb.OpenBytes(text)
	if err != nil {
		return nil, fmt.Errorf("open %s of %s: %w; want a whole file in MaxMind's format (.mmdb)", path, what, err)
	}
	kind := r.Metadata.DatabaseType
	for _, w := range words {
		if !strings.Contains(strings.ToUpper(kind), w) {
			continue
		}
		if err := r.Verify(); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s of %s: the file is damaged or not whole: %w; download it again", path, what, err), r.Close())
		}
		return r, nil
	}
	return nil, errors.Join(fmt.Errorf("open %s of %s: it is a database of type %q, want one of %s", path, what, kind, what), r.Close())
}

const maxMMDB = 512 << 20 // octets; the largest that are sold have less

// readMMDB reads a file as a whole: one that is mapped kills the process with SIGBUS
// when a download in place cuts it while it is read.
func readMMDB(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMMDB {
		return nil, fmt.Errorf("got %s of %d octets, want a regular file of %d at most", info.Mode().Type(), info.Size(), maxMMDB)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxMMDB))
}

// Lookup returns what is known of the network of an address.
func (n *Networks) Lookup(a netip.Addr) (out Network) {
	if n == nil || !a.IsValid() {
		return out
	}
	a = a.Unmap()
	if n.asn != nil {
		var record struct {
			ASN uint32 `maxminddb:"autonomous_system_number"`
			Org string `maxminddb:"autonomous_system_organization"`
		}
		if n.asn.Lookup(a).Decode(&record) == nil {
			out.ASN, out.Org = record.ASN, record.Org
		}
	}
	if n.country != nil {
		var record struct {
			Country struct {
				Code string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
		}
		if n.country.Lookup(a).Decode(&record) == nil {
			out.Country = record.Country.Code
		}
	}
	return out
}

// Close closes the files.
func (n *Networks) Close() error {
	var errs []error
	for _, r := range []*maxminddb.Reader{n.asn, n.country} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}
