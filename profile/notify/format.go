package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Format turns an alert into the octets a receiver wants.
type Format string

const (
	JSON  Format = "json"  // Alert
	OCSF  Format = "ocsf"  // Open Cybersecurity Schema Framework 1.6, Detection Finding (2004)
	ECS   Format = "ecs"   // Elastic Common Schema
	CEF   Format = "cef"   // ArcSight Common Event Format 0, one line
	STIX  Format = "stix"  // STIX 2.1 bundle
	Slack Format = "slack" // incoming webhook of Slack, Mattermost and the like
	Text  Format = "text"  // for people
)

// Formats are all of them, as the configuration names them.
func Formats() []Format { return []Format{JSON, OCSF, ECS, CEF, STIX, Slack, Text} }

// contentType is the media type of a format.
func (f Format) contentType() string {
	switch f {
	case CEF, Text:
		return "text/plain; charset=utf-8"
	case STIX:
		return "application/stix+json;version=2.1"
	}
	return "application/json"
}

// encode writes a in format f. version is that of the program.
func (f Format) encode(a *Alert, version string) ([]byte, error) {
	switch f {
	case JSON:
		return marshal(a)
	case OCSF:
		return marshal(ocsf(a, version))
	case ECS:
		return marshal(ecs(a, version))
	case CEF:
		return []byte(cef(a, version)), nil
	case STIX:
		return marshal(stix(a))
	case Slack:
		return marshal(map[string]any{"text": slackText(a)})
	case Text:
		return []byte(plain(a)), nil
	}
	return nil, fmt.Errorf("encode alert: got format %q, want one of %v", f, Formats())
}

// marshal is json.Marshal without the escapes meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode alert: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// cef is one line: CEF:0|vendor|product|version|signature|name|severity|extension.
// Severity is 0 to 10. See "Implementing ArcSight Common Event Format", chapter 1.
func cef(a *Alert, version string) string {
	header := func(s string) string {
		return strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ").Replace(s)
	}
	value := func(s string) string {
		return strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`).Replace(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CEF:0|Tidemark|Tidemark|%s|%s|%s|%d|", header(version), header(a.Family), header(a.Observed), a.Risk/10)
	fields := [][2]string{
		{"externalId", a.ID}, {"act", string(a.Change)}, {"start", millis(a.Since)}, {"end", millis(a.Until)},
		{"cnt", fmt.Sprint(a.Findings)}, {"dvchost", a.Site}, {"shost", a.Device.Name}, {"smac", a.Device.MAC},
	}
	for _, ip := range a.Device.Addresses { // one of each family has a key
		key := "src"
		if ip.Is6() {
			key = "c6a2"
		}
		if !slices.ContainsFunc(fields, func(f [2]string) bool { return f[0] == key }) {
			fields = append(fields, [2]string{key, ip.String()})
			if key == "c6a2" {
				fields = append(fields, [2]string{"c6a2Label", "Source IPv6 Address"})
			}
		}
	}
	fields = append(fields,
		[2]string{"cs1Label", "Expected"}, [2]string{"cs1", a.Expected},
		[2]string{"cs2Label", "ATT&CK"}, [2]string{"cs2", strings.Join(a.Attack, " ")},
		[2]string{"cn1Label", "Risk"}, [2]string{"cn1", fmt.Sprint(a.Risk)},
		[2]string{"msg", a.Text})
	for i, f := range fields {
		if f[1] == "" {
			continue
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f[0] + "=" + value(f[1]))
	}
	return b.String()
}

func millis(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }

// slackText is the alert in Slack's markup, whose only special characters are
// & < and >.
func slackText(a *Alert) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	text := fmt.Sprintf("*%s* (%s, alert %s)\n%s", escape(a.title()), a.Change, a.ID, escape(a.Text))
	if a.Change == Digest {
		text += "\n" + escape(a.list())
	}
	return text
}

// plain is the alert as a mail says it.
func plain(a *Alert) string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s\n\n", a.Text)
	line("alert", fmt.Sprintf("%s, version %d, %s", a.ID, a.Version, a.Change))
	line("site", a.Site)
	line("device", strings.Join(slices.DeleteFunc([]string{a.Device.Name, a.Device.Vendor, a.Device.MAC}, func(s string) bool { return s == "" }), ", "))
	var addresses []string
	for _, ip := range a.Device.Addresses {
		addresses = append(addresses, ip.String())
	}
	line("addresses", strings.Join(addresses, " "))
	line("observed", a.Observed)
	line("expected", a.Expected)
	line("since", a.Since.UTC().Format("2006-01-02 15:04:05 UTC"))
	line("until", a.Until.UTC().Format("2006-01-02 15:04:05 UTC"))
	var terms []string
	for _, t := range a.Terms {
		terms = append(terms, fmt.Sprintf("%s %d", t.Name, t.Value))
	}
	line("risk", fmt.Sprintf("%d, %s (%s)", a.Risk, a.Level, strings.Join(terms, ", ")))
	line("ATT&CK", strings.Join(a.Attack, " "))
	line("reason", a.Reason)
	if len(a.Lines) > 1 || a.Change == Digest {
		fmt.Fprintf(&b, "\nAll of it:\n%s", a.list())
	}
	if len(a.Steps) > 0 {
		fmt.Fprintf(&b, "\nWhat to do:\n  - %s\n", strings.Join(a.Steps, "\n  - "))
	}
	if a.Change != Test {
		fmt.Fprintf(&b, "\nMore, with the flows and the query that found it: tidemark alerts explain %s\n", a.ID)
	}
	return b.String()
}
