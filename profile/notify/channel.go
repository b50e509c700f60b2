package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Channel is one receiver of alerts, as the configuration names it.
type Channel struct {
	Name       string   `yaml:"name" doc:"how the channel is called here: a-z 0-9 -"`
	URL        string   `yaml:"url" doc:"where to: https://HOST/PATH (webhook), smtp://[USER@]HOST[:587] or smtps://[USER@]HOST[:465] (mail), syslog+udp://HOST[:514], syslog+tcp://HOST[:514], syslog+tls://HOST[:6514], file:///PATH, exec:///PATH (a program of yours, the alert on its standard input)"`
	Format     Format   `yaml:"format" doc:"json, ocsf, ecs, cef, stix, slack or text; empty = text for mail, cef for syslog, else json"`
	MinRisk    uint8    `yaml:"min_risk" doc:"only alerts of this risk (0-100) or more"`
	SecretFile string   `yaml:"secret_file" doc:"file with the key of the webhook's signature (HMAC-SHA256) or the password of the mail account"`
	CA         string   `yaml:"ca" doc:"PEM file with the authority of the receiver's certificate; empty = the system's"`
	From       string   `yaml:"from" doc:"mail: address of the sender"`
	To         []string `yaml:"to" doc:"mail: addresses of the receivers"`
}

// sender delivers one alert, encoded as body. It returns when the receiver has
// taken it, or with what went wrong.
type sender interface {
	send(ctx context.Context, a *Alert, body []byte) error
}

// refusal is a receiver's word that it does not want this alert as it is: later
// is no better.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

var channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Validate reports every fault of a list of channels, each by its path below
// `notify`.
func Validate(channels []Channel) []error {
	var errs []error
	names := map[string]bool{}
	for i, c := range channels {
		fault := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("[%d].%s: %s", i, field, fmt.Sprintf(format, args...)))
		}
		switch {
		case !channelName.MatchString(c.Name):
			fault("name", "got %q, want 1 to 32 of a-z 0-9 -", c.Name)
		case names[c.Name]:
			fault("name", "%q is the name of an earlier channel too", c.Name)
		}
		names[c.Name] = true
		if c.Format != "" && !slices.Contains(Formats(), c.Format) {
			fault("format", "got %q, want one of %v", c.Format, Formats())
		}
		if c.MinRisk > 100 {
			fault("min_risk", "got %d, want 0 to 100", c.MinRisk)
		}
		u, err := c.parse()
		if err != nil {
			fault("url", "%v", err)
			continue
		}
		if mails := u.Scheme == "smtp" || u.Scheme == "smtps"; mails {
			if _, err := mail.ParseAddress(c.From); err != nil {
				fault("from", "got %q, want a mail address such as tidemark@example.org", c.From)
			}
			if len(c.To) == 0 {
				fault("to", "got none, want at least one mail address")
			}
			for _, to := range c.To {
				if _, err := mail.ParseAddress(to); err != nil {
					fault("to", "got %q, want a mail address such as noc@example.org", to)
				}
			}
			if u.User != nil && c.SecretFile == "" {
				fault("secret_file", "got none, want the file with the password of %s", u.User.Username())
			}
		} else if c.From != "" || len(c.To) > 0 {
			fault("from", "from and to are for mail; the url is %s", u.Scheme)
		}
	}
	return errs
}

var defaultPorts = map[string]string{"smtp": "587", "smtps": "465", "syslog+udp": "514", "syslog+tcp": "514", "syslog+tls": "6514"}

// parse reads the address. Its errors do not repeat it: it may hold a token.
func (c Channel) parse() (*url.URL, error) {
	const want = "want https://HOST/PATH, smtp://HOST, smtps://HOST, syslog+udp://HOST, syslog+tcp://HOST, syslog+tls://HOST, file:///PATH or exec:///PATH"
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New(want)
	}
	switch u.Scheme {
	case "file", "exec":
		if u.Host != "" || u.Path == "" || u.Path == "/" {
			return nil, fmt.Errorf("want %s:///PATH with the whole path of a file", u.Scheme)
		}
		return u, nil
	case "http", "https", "smtp", "smtps", "syslog+udp", "syslog+tcp", "syslog+tls":
		if u.Hostname() == "" {
			return nil, fmt.Errorf("got %s without a host; %s", u.Scheme, want)
		}
		if _, set := u.User.Password(); set {
			return nil, errors.New("got a password in the address, want it in secret_file")
		}
		if port := defaultPorts[u.Scheme]; port != "" && u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), port)
		}
		return u, nil
	}
	return nil, errors.New(want)
}

// target is the address without what may be a secret.
func (c Channel) target() string {
	u, err := c.parse()
	switch {
	case err != nil:
		return ""
	case u.Scheme == "file" || u.Scheme == "exec":
		return u.Path
	case len(c.To) > 0:
		return strings.Join(c.To, ", ") + " by " + u.Host
	}
	return u.Scheme + "://" + u.Host
}

// Masked is the channel as it may be shown: the path of a webhook is a secret.
func (c Channel) Masked() Channel {
	if u, err := c.parse(); err == nil && (u.Scheme == "http" || u.Scheme == "https") && (len(u.Path) > 1 || u.RawQuery != "") {
		c.URL = u.Scheme + "://" + u.Host + "/..."
	}
	return c
}

func (d *delivery) wants(a *Alert) bool { return a.Risk >= d.MinRisk }

// sender reads the files the channel names and sets its format.
func (c *Channel) sender() (sender, error) {
	u, err := c.parse()
	if err != nil {
		return nil, fmt.Errorf("channel %s: url: %w", c.Name, err)
	}
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", c.Name, err)
	}
	roots, err := readCA(c.CA)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", c.Name, err)
	}
	security := &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}
	format := func(f Format) {
		if c.Format == "" {
			c.Format = f
		}
	}
	switch u.Scheme {
	case "http", "https":
		format(JSON)
		return newWebhook(u, c.Format.contentType(), secret, security), nil
	case "smtp", "smtps":
		format(Text)
		return &mailer{url: u, from: c.From, to: c.To, password: string(secret), tls: security, contentType: c.Format.contentType()}, nil
	case "file":
		format(JSON)
		return file(u.Path), nil
	case "exec":
		format(JSON)
		return program(u.Path), nil
	}
	format(CEF)
	return &syslog{network: strings.TrimPrefix(u.Scheme, "syslog+"), address: u.Host, tls: security}, nil
}

// maxSecret bounds a secret: a file that is longer is some other file.
const maxSecret = 4096

func readSecret(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("secret_file %s: got mode %04o, want 0600: others must not read it (chmod 600 %s)", path, mode, path)
	}
	if info.Size() > maxSecret {
		return nil, fmt.Errorf("secret_file %s: got %d octets, want %d at most", path, info.Size(), maxSecret)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, fmt.Errorf("secret_file %s is empty", path)
	}
	return text, nil
}

func readCA(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca %s: got no certificate, want PEM", path)
	}
	return pool, nil
}
