package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// certificate makes a certificate for 127.0.0.1 and the file of its authority.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// post is an SMTP server that keeps what it gets.
type post struct {
	mu    sync.Mutex
	mails []string
}

type postSession struct {
	*post
	secure, known bool
	to            []string
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &postSession{post: p, secure: secure}, nil
}
func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.known = s.secure && user == "tidemark" && password == "s3cret"
		if !s.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
func (s *postSession) Mail(string, *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	return nil
}
func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = append(s.to, to); return nil }
func (s *postSession) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, strings.Join(s.to, " ")+"\n"+string(body))
	return err
}
func (s *postSession) Reset()        {}
func (s *postSession) Logout() error { return nil }

func TestMail_OverStartTLSAndTLS(t *testing.T) {
	cert, ca := certificate(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"smtp", "smtps"} {
		p := &post{}
		server := smtp.NewServer(p)
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		if scheme == "smtps" {
			l = tls.NewListener(l, server.TLSConfig)
		}
		go server.Serve(l)
		n := open(t, t.TempDir(), Channel{
			Name: "noc", URL: scheme + "://tidemark@" + address, CA: ca, SecretFile: secret,
			From: "Tidemark <tidemark@example.org>", To: []string{"noc@example.org", "Ü <u@example.org>"},
		})
		a := camera()
		a.Observed = "wählte\r\nBcc: everyone@example.org"
		if err := n.Enqueue(a); err != nil {
			t.Fatal(err)
		}
		run(t, n, empty(n))
		server.Close()
		if len(p.mails) != 1 {
			t.Fatalf("%s: got %d mails, want 1; %+v", scheme, len(p.mails), n.Status())
		}
		to, text, _ := strings.Cut(p.mails[0], "\n")
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v in %q", scheme, err, text)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || to != "noc@example.org u@example.org" || m.Header.Get("Bcc") != "" || !strings.Contains(subject, "wählte") {
			t.Errorf("%s: got to %q, headers %v, subject %q, %v", scheme, to, m.Header, subject, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || !strings.Contains(string(body), "tidemark alerts explain "+a.ID) {
			t.Errorf("%s: got body %q, %v", scheme, body, err)
		}
	}
}

func TestMail_WrongAuthorityAndWrongPasswordFail(t *testing.T) {
	cert, ca := certificate(t)
	_, other := certificate(t)
	server := smtp.NewServer(&post{})
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	wrong := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(wrong, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]string{"certificate": other, "log in as tidemark": ca} {
		n := open(t, t.TempDir(), Channel{
			Name: "noc", URL: "smtp://tidemark@" + l.Addr().String(), CA: file, SecretFile: wrong, From: "a@example.org", To: []string{"b@example.org"},
		})
		if err := n.Test(t.Context(), "noc"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong\n") {
			t.Errorf("got %v, want it to speak of %s", err, want)
		}
	}
}
