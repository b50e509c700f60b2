package collector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"
)

// TLSConfig is IPFIX over TLS. RFC 7011, Section 11.3 wants both sides to show
// certificates: that is so when ClientCA is set.
type TLSConfig struct {
	Listen      []string `yaml:"listen"`      // "host:port"; the registered port is 4740
	Certificate string   `yaml:"certificate"` // PEM file, with the chain
	Key         string   `yaml:"key"`         // PEM file
	ClientCA    string   `yaml:"client_ca"`   // PEM file; exporters must show a certificate that one of its authorities signed
}

// server loads the files.
func (t TLSConfig) server(log zerolog.Logger) (*tls.Config, error) {
	k := &keyPair{config: t, log: log}
	if _, err := k.load(); err != nil {
		return nil, fmt.Errorf("load collector.tls.certificate and .key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.certificate}
	if t.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(filepath.Clean(t.ClientCA))
	if err != nil {
		return nil, fmt.Errorf("load collector.tls.client_ca: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load collector.tls.client_ca %s: no certificate in it, want PEM", t.ClientCA)
	}
	return c, nil
}

// keyPair reads the certificate anew when its file changes, so that a renewed
// one needs no restart.
type keyPair struct {
	config TLSConfig
	log    zerolog.Logger

	mu     sync.Mutex
	stamp  [2]int64 // modification times
	loaded *tls.Certificate
}

func (k *keyPair) load() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stamp [2]int64
	for i, file := range []string{k.config.Certificate, k.config.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return k.loaded, err
		}
		stamp[i] = info.ModTime().UnixNano()
	}
	if k.loaded != nil && stamp == k.stamp {
		return k.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(k.config.Certificate, k.config.Key)
	if err != nil {
		return k.loaded, err
	}
	k.loaded, k.stamp = &pair, stamp
	return k.loaded, nil
}

// certificate is tls.Config.GetCertificate. Files that are broken just now leave
// the certificate that was good.
func (k *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := k.load()
	if err != nil {
		k.log.Warn().Err(err).Msg("the certificate for IPFIX over TLS cannot be read anew: going on with the old one")
	}
	if c == nil {
		return nil, errors.New("no certificate")
	}
	return c, nil
}

// faults reports what is missing, by path in the configuration.
func (t TLSConfig) faults(bad func(format string, a ...any)) {
	if len(t.Listen) > 0 && (t.Certificate == "" || t.Key == "") {
		bad("tls: needs certificate and key, files in PEM")
	}
	if len(t.Listen) == 0 && (t.Certificate != "" || t.Key != "" || t.ClientCA != "") {
		bad("tls.listen: got none, want an address such as :4740, or no certificate")
	}
}
