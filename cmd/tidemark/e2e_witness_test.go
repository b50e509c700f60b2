package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// signingWitness cosigns whatever it is given; package witness tests a real one.
func signingWitness(t *testing.T) (url, key string, refuse func()) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const name = "witness.example.net"
	raw := append([]byte{4}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	refused := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-refused:
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		default:
		}
		body, _ := io.ReadAll(r.Body)
		_, checkpoint, _ := bytes.Cut(body, []byte("\n\n"))
		text, _, _ := bytes.Cut(checkpoint, []byte("\n\n"))
		now := time.Now().Unix()
		sig := ed25519.Sign(private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", now, text))
		line := append(binary.BigEndian.AppendUint64(sum[:4:4], uint64(now)), sig...)
		fmt.Fprintf(w, "— %s %s\n", name, base64.StdEncoding.EncodeToString(line))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(raw)), func() { close(refused) }
}

// TestE2E_WitnessWithoutAChain: cosignatures are kept and shown, and a refusal is loud.
func TestE2E_WitnessWithoutAChain(t *testing.T) {
	t.Parallel()
	url, key, refuse := signingWitness(t)
	s := newSite(t, fmt.Sprintf("ledger: {seal: 500ms, witnesses: [{url: %q, key: %q}]}", url, key))
	s.start()
	s.simulate("load", "--to", s.udp, "--rate", "500", "--duration", "1s", "--mix", "v5")
	s.says(0, []string{"witness.example.net", "cosigned"}, "anchor", "now")
	// What it cosigned is in the proofs of flows, and verified by its key alone.
	name := s.sql("SELECT format('{}-{}-{}', lower(leftPad(hex(log), 16, '0')), batch_index, pos) FROM flows ORDER BY batch_index, pos LIMIT 1")
	trust, file, evidence := filepath.Join(s.root, "trust.json"), filepath.Join(s.root, "flow.txt"), filepath.Join(s.root, "flow.json")
	if err := os.WriteFile(trust, []byte(s.want(exitOK, "contract", "trust").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(exitUnanchored, "prove", "--flow", name, "--out", file)
	s.want(exitUnanchored, "evidence", "--flow", name, "--out", evidence)
	for _, path := range []string{file, evidence} {
		s.says(exitUnanchored, []string{"witness.example.net saw it at"}, "verify-bundle", "--trust", trust, path)
		s.says(exitOriginUnknown, []string{"witness.example.net, not verified"}, "verify-bundle", path)
		s.says(exitOriginUnknown, []string{"witness.example.net saw it at"}, "verify-bundle", "--witness", key, path)
		s.want(exitUsage, "verify-bundle", "--witness", "nobody", path)
	}
	refuse()
	s.simulate("load", "--to", s.udp, "--rate", "500", "--duration", "1s", "--mix", "v5")
	s.says(0, []string{"cosigned", "REFUSES", "another history"}, "anchor", "now")
	s.stop()
	s.says(0, []string{"witness.example.net", "cosigned"}, "anchor", "status")
}
