package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"tidemark/collector/flow/oneline"
	"tidemark/profile/hook"
)

// webhook posts alerts. With a secret, X-Tidemark-Signature is "sha256=" and the
// hex HMAC-SHA256 of X-Tidemark-Timestamp (Unix seconds), "." and the body.
type webhook struct {
	url         string
	contentType string
	secret      []byte
	client      *http.Client
}

func newWebhook(u *url.URL, contentType string, secret []byte, security *tls.Config) *webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = security
	transport.DisableKeepAlives = true // alerts are rare
	return &webhook{url: u.String(), contentType: contentType, secret: secret, client: &http.Client{
		Transport: transport,
		// A redirect could lead into the operator's own network, or take the alert
		// to somebody else: the operator names the address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *webhook) send(ctx context.Context, a *Alert, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return refusal{errors.New("post alert: the url of the channel is not one")}
	}
	request.Header.Set("Content-Type", w.contentType)
	request.Header.Set("User-Agent", "tidemark")
	request.Header.Set("X-Tidemark-Delivery", a.Key())
	if len(w.secret) > 0 {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, w.secret)
		io.WriteString(mac, now+".")
		mac.Write(body)
		request.Header.Set("X-Tidemark-Timestamp", now)
		request.Header.Set("X-Tidemark-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	response, err := w.client.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // without the address: its path may be a token
			err = u.Err
		}
		return fmt.Errorf("post alert to %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // what it says only explains the status
	switch code := response.StatusCode; {
	case code < 300:
		return nil
	case code < 400:
		return fmt.Errorf("post alert to %s: got a redirect (%s), which is not followed: write the address it leads to into the url of the channel", request.URL.Host, response.Status)
	default:
		err := fmt.Errorf("post alert to %s: got %s: %q", request.URL.Host, response.Status, printable(strings.TrimSpace(string(said))))
		switch code {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return refusal{err}
		}
		return err
	}
}

// printable takes out what could end a line or turn it round, or drive a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if oneline.Hostile(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// mailer hands mails to a server (RFC 5321), over TLS: from the first octet on
// (smtps, RFC 8314) or by STARTTLS (smtp, RFC 3207). Without TLS it speaks to
// this machine only.
type mailer struct {
	url         *url.URL
	from        string
	to          []string
	password    string
	tls         *tls.Config
	contentType string
}

func (m *mailer) send(ctx context.Context, a *Alert, body []byte) error {
	if err := m.deliver(ctx, a, body); err != nil {
		err = fmt.Errorf("mail alert by %s: %w", m.url.Host, err)
		var reply *textproto.Error
		if errors.As(err, &reply) && (reply.Code == 552 || reply.Code == 554) { // too large; refused as spam
			return refusal{err}
		}
		return err
	}
	return nil
}

func (m *mailer) deliver(ctx context.Context, a *Alert, body []byte) error {
	conn, err := dial(ctx, "tcp", m.url.Host, m.url.Scheme == "smtps", m.tls)
	if err != nil {
		return err
	}
	defer conn.Close()
	c, err := smtp.NewClient(conn, m.url.Hostname())
	if err != nil {
		return err
	}
	if m.url.Scheme == "smtp" {
		if ok, _ := c.Extension("STARTTLS"); ok {
			if err := c.StartTLS(m.tls); err != nil {
				return err
			}
		} else if ip := net.ParseIP(m.url.Hostname()); m.url.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return errors.New("the server offers no STARTTLS: an alert is not sent in the clear; use smtps:// if it speaks TLS from the start")
		}
	}
	if u := m.url.User; u != nil {
		if err := c.Auth(smtp.PlainAuth("", u.Username(), m.password, m.url.Hostname())); err != nil {
			return fmt.Errorf("log in as %s: %w", u.Username(), err)
		}
	}
	sender, err := mail.ParseAddress(m.from)
	if err != nil {
		return refusal{err}
	}
	if err := c.Mail(sender.Address); err != nil {
		return err
	}
	for _, to := range m.to {
		receiver, err := mail.ParseAddress(to)
		if err != nil {
			return refusal{err}
		}
		if err := c.Rcpt(receiver.Address); err != nil {
			return fmt.Errorf("receiver %s: %w", receiver.Address, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(a, sender, body)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it is taken; how the server says good-bye does not matter
	return nil
}

// message is a mail (RFC 5322) of one part. Its id is the same for a repeat.
func (m *mailer) message(a *Alert, sender *mail.Address, body []byte) []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
	}
	_, domain, _ := strings.Cut(sender.Address, "@")
	line("From", sender.String())
	line("To", strings.Join(m.to, ", "))
	line("Subject", mime.QEncoding.Encode("utf-8", a.title()))
	line("Date", time.Now().Format(time.RFC1123Z))
	line("Message-ID", "<"+a.Key()+"@"+domain+">")
	line("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday notice answers
	line("MIME-Version", "1.0")
	line("Content-Type", m.contentType)
	line("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write(body) // into memory: cannot fail
	w.Close()
	return b.Bytes()
}

// syslog sends messages of RFC 5424: one datagram each over UDP (RFC 5426), with
// its length in front over TCP (RFC 6587 section 3.4.1) and TLS (RFC 5425).
// Nobody answers a syslog message: taken by the connection is all that can be known.
type syslog struct {
	network string // udp, tcp, tls
	address string
	tls     *tls.Config
}

// maxDatagram is what every receiver of syslog over UDP should take (RFC 5426
// section 3.2); a longer message would be cut somewhere else.
const maxDatagram = 2048

func (s *syslog) send(ctx context.Context, a *Alert, body []byte) error {
	severity := map[string]int{"critical": 2, "high": 3, "medium": 4, "low": 5}[a.Level]
	if severity == 0 {
		severity = 6
	}
	const facility = 4 // security
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	message := fmt.Appendf(nil, "<%d>1 %s %s tidemark - %s - \ufeff", facility*8+severity, a.Until.UTC().Format("2006-01-02T15:04:05.000Z"), host, messageID(a.Family))
	message = append(message, bytes.ReplaceAll(body, []byte("\n"), []byte(" "))...)
	network := s.network
	switch {
	case network == "udp" && len(message) > maxDatagram:
		message = []byte(strings.ToValidUTF8(string(message[:maxDatagram]), "")) // no half character at the cut
	case network != "udp":
		network = "tcp"
		message = append(fmt.Appendf(nil, "%d ", len(message)), message...)
	}
	conn, err := dial(ctx, network, s.address, s.network == "tls", s.tls)
	if err != nil {
		return fmt.Errorf("send alert to syslog %s: %w", s.address, err)
	}
	_, err = conn.Write(message)
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("send alert to syslog %s: %w", s.address, err)
	}
	return nil
}

// messageID is a MSGID: 1 to 32 printable ASCII characters.
func messageID(family string) string {
	id := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, family)
	if id == "" {
		return "-"
	}
	return id[:min(len(id), 32)]
}

// file is the path of a file that gets a line for each alert. It is opened for
// each, so it may be moved away at any time.
type file string

func (f file) send(_ context.Context, _ *Alert, body []byte) error {
	out, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("append alert: %w", err)
	}
	before, err := out.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = out.Write(append(bytes.ReplaceAll(body, []byte("\n"), []byte(" ")), '\n'))
		if err != nil { // half a line would spoil the next one
			err = errors.Join(err, out.Truncate(before))
		}
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("append alert: %w", err)
	}
	return nil
}

// program is the path of the operator's own program, which gets the alert on its
// standard input. It has taken the alert when it ends with 0 in time.
type program string

func (p program) send(ctx context.Context, a *Alert, body []byte) error {
	return hook.Run(ctx, string(p), []string{"TIDEMARK_ALERT=" + a.ID, "TIDEMARK_CHANGE=" + string(a.Change)}, body)
}

// dial connects within ctx, whose deadline is the connection's too.
func dial(ctx context.Context, network, address string, secure bool, security *tls.Config) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if !secure {
		return conn, nil
	}
	t := tls.Client(conn, security)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return t, nil
}
