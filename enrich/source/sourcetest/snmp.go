// Package sourcetest runs for tests the real daemons that sources of identity ask.
package sourcetest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// SNMP runs Debian's snmpd with the objects that a configuration names, and none of
// this machine's, and returns its address. Where it is not installed the test is
// skipped, but fails in CI.
func SNMP(t *testing.T, configuration string) string {
	t.Helper()
	program, err := exec.LookPath("snmpd")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/snmpd") // which is not on everybody's path
	}
	if err != nil {
		const say = "snmpd is not installed (Debian: apt-get install snmpd)"
		if os.Getenv("CI") != "" {
			t.Fatal(say)
		}
		t.Skip(say)
	}
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().String()
	probe.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "snmpd.conf")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	// Nothing but our own file, and no subagents: the machine's tables stay out.
	cmd := exec.Command(program, "-f", "-Lo", "-C", "-c", path, "-I", "-ipAddressTable,-ip,-interfaces,-ifTable,-ipv4InterfaceTable,-ipNetToPhysicalTable,-inetNetToMediaTable,-at", "-p", filepath.Join(dir, "pid"), "udp:"+address)
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return address
}
