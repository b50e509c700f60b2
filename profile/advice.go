package profile

import "fmt"

// techniques are the names of the MITRE ATT&CK techniques that detectors give,
// Enterprise and ICS (T0...).
var techniques = map[string]string{
	"T1021": "Remote Services", "T1029": "Scheduled Transfer", "T1030": "Data Transfer Size Limits", "T1036": "Masquerading", "T1041": "Exfiltration Over C2 Channel",
	"T1046": "Network Service Discovery", "T1048": "Exfiltration Over Alternative Protocol", "T1071": "Application Layer Protocol",
	"T1071.004": "DNS", "T1110": "Brute Force", "T1133": "External Remote Services", "T1190": "Exploit Public-Facing Application",
	"T1200": "Hardware Additions", "T1210": "Exploitation of Remote Services", "T1489": "Service Stop", "T1496": "Resource Hijacking",
	"T1498": "Network Denial of Service", "T1498.002": "Reflection Amplification", "T1499": "Endpoint Denial of Service",
	"T1557": "Adversary-in-the-Middle", "T1557.002": "ARP Cache Poisoning", "T1568": "Dynamic Resolution", "T1570": "Lateral Tool Transfer",
	"T1562": "Impair Defenses", "T1571": "Non-Standard Port", "T1572": "Protocol Tunneling", "T1573": "Encrypted Channel", "T1595": "Active Scanning",
	"T0812": "Default Credentials", "T0814": "Denial of Service", "T0815": "Denial of View", "T0819": "Exploit Public-Facing Application", "T0822": "External Remote Services",
	"T0826": "Loss of Availability", "T0830": "Adversary-in-the-Middle", "T0836": "Modify Parameter", "T0843": "Program Download",
	"T0846": "Remote System Discovery", "T0848": "Rogue Master", "T0855": "Unauthorized Command Message", "T0856": "Spoof Reporting Message",
	"T0859": "Valid Accounts", "T0866": "Exploitation of Remote Services", "T0867": "Lateral Tool Transfer", "T0869": "Standard Application Layer Protocol",
	"T0881": "Service Stop", "T0882": "Theft of Operational Information", "T0883": "Internet Accessible Device", "T0884": "Connection Proxy",
	"T0885": "Commonly Used Port", "T0886": "Remote Services", "T0888": "Remote System Information Discovery",
}

// Technique is a MITRE ATT&CK id with its name: "T1046 Network Service Discovery".
func Technique(id string) string {
	if name := techniques[id]; name != "" {
		return id + " " + name
	}
	return id
}

// advice is what to do about a family, the first thing first.
var advice = map[string][]string{
	"threat_intel":    {"look up why the address is listed, and whether it was a shared host", "cut the device off from it, then look at what else it dealt with that day"},
	"scan":            {"ask whether somebody runs a scanner there; if so: an exclusion with --hard for its hours", "else take the device off the network: it looks for others to infect"},
	"brute_force":     {"see whether one of the log-ins got through: a session longer than the others", "block the other side, change the password, switch off remote log-in"},
	"failed_access":   {"ask whether the other side should reach this device at all", "if many devices see the same: the alert of the one that does it"},
	"access":          {"ask who may reach the device from there; close the port at the border if nobody", "look at what the device did after the session"},
	"new_destination": {"look up whose network it is: a maker's new server is on many devices at once", "if wanted: tidemark alerts expected; else block it and watch for more"},
	"new_service":     {"ask what was changed on the device: an update, a setting, a new app", "a log-in or remote-control service that nobody switched on: take the device off"},
	"lateral":         {"ask why the device opens log-in or file services of its neighbours", "look at the neighbour's alerts: what was reached may go on from there"},
	"ics":             {"ask the plant at once: who may write to this controller, and did they?", "compare the controller's program and set points with the last known good ones"},
	"exfiltration":    {"find out what the device can see or hold: pictures, recipes, patient data", "block the destination; keep the flows as evidence"},
	"dns_tunnel":      {"look at the names asked for, at the resolver: long random labels are data", "block the domain at the resolver"},
	"beacon":          {"look up the destination; regular calls to a new host are how malware asks for orders", "block it and see whether the calls move elsewhere"},
	"flood":           {"limit or cut the device's upload now: it hurts others", "look for how it was taken over: log-ins and new services of the days before"},
	"reflection":      {"close the service to the outside: nobody there should be answered", "limit answers at the border"},
	"silence":         {"see whether it has power and link, and whether it was moved", "if it was taken away on purpose: tidemark devices retire"},
	"new_device":      {"find out whose it is: switch port or access point, and vendor", "if it belongs here: tidemark devices approve; else take it off"},
	"volume":          {"ask what was done with the device in that hour: an update, a live view, a backup", "look at whom the bytes went to: tidemark flows"},
	"growth":          {"look at whom the bytes go to, and since when: tidemark devices show, tidemark flows", "if it is wanted, such as a better picture: tidemark alerts expected"},
	"unexpected_hour": {"ask who was there at that hour", "alone it is weak: look at what else the device did"},
	"spoof":           {"find the second network card: switch port, access point, DHCP", "until then do not trust what comes from this address"},
	"drift":           {"ask for a firmware or a configuration change", "if wanted: tidemark alerts expected"},
	"coverage":        {"see whether the exporter was changed, restarted or cut off: tidemark exporters, tidemark coverage", "until then nothing is judged there: an attacker would like that too"},
	"mud":             {"compare with the maker's profile: is it out of date, or is the device misused?", "block what the profile does not allow"},
}

// Steps are what to do about an incident: about its strongest family, then one
// thing about each other.
func (i *Incident) Steps() []string {
	families := i.Families
	if len(families) == 0 {
		families = []string{i.Family}
	}
	var out []string
	for k, f := range families {
		list := advice[f]
		if list == nil {
			list = []string{"read what the rule looks for, and why: tidemark detectors show " + f}
		}
		if k > 0 && len(list) > 1 {
			list = list[:1]
		}
		out = append(out, list...)
	}
	return out
}

// Confidence is that of the strongest line, percent, with its reasons.
func (i *Incident) Confidence(d Device) (percent uint8, reasons []string) {
	for _, l := range i.Lines {
		if l.Family == i.Family && l.Target == i.Target {
			percent = l.Confidence
		}
	}
	known := map[string]string{
		"mac": "the device is known by its MAC", "assigned": "its MAC is told by a lease or an inventory",
		"address": "the device is known by its address only", "gateway": "the device is an address behind a gateway",
	}[d.Identity]
	if known != "" {
		reasons = append(reasons, known)
	}
	if days := int(i.Opened.Sub(d.First).Hours() / 24); !d.First.IsZero() && days > 1 {
		reasons = append(reasons, fmt.Sprintf("it had been watched for %d days", days))
	}
	if independent(i.Families) > 1 {
		reasons = append(reasons, "independent signs agree")
	}
	return percent, reasons
}
