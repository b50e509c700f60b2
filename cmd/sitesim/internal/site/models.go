package site

import "slices"

// Sources of the parameter ranges below. A range from a capture spans the value measured there by
// about a factor of three, since one device is one device.
const (
	fromBlink    = "capture fit-labelled/blink-cam-01, -03: 41 TLS uploads in 7 days, 300-450 kB each, asleep between"
	fromSchlage  = "capture fit-labelled/schlage-lock-01: one MQTT/TLS connection (8883) kept for days, 90 octets every 2-4 min, addresses in many networks of one cloud"
	fromUltraloq = "capture fit-labelled/ultraloq-hub-01: MQTT/TLS (8883) to a dozen addresses, 150 packets an hour"
	fromSifely   = "capture fit-labelled/sifely-hub-01: a session to tcp/9999 every 373 s, 370 octets up, 480 down"
	fromTapo     = "captures twente-ssiot/tapo-p100-idle-8h, twente-mud/tapo-p115: 57 packets an hour to one cloud host, four TLS sessions at start"
	fromTuya     = "captures twente-ssiot/calex-bulb-idle, twente-mud/mood_lamp: a broadcast to udp/6667 each 2.5-5 s, keepalives of 30 s"
	fromSIP      = "RFC 3261, Section 10.2.1 (registration up to 3600 s); RFC 3550/3551 (G.711: 50 packets/s of 172 octets)"
	fromMQTT     = "OASIS MQTT 3.1.1, Section 3.1.2.10 (keep alive in seconds, commonly 60-1200)"
	fromModbus   = "Modbus application protocol 1.1b3, Section 4 (requests of 12, answers to 260 octets); polls of 0.1-10 s: guess"
	fromLoRa     = "Semtech UDP packet forwarder protocol: PULL_DATA every few seconds to keep the NAT open, PUSH_DATA per packet heard"
	fromOCPP     = "OCPP 1.6, Section 9.1 (HeartbeatInterval, WebSocketPingInterval, MeterValueSampleInterval)"
	fromBACnet   = "ASHRAE 135 Annex J (udp/47808, broadcast Who-Is); polls: guess"
	fromHL7      = "HL7 MLLP (tcp/2575) result messages; sizes and paces: guess"
	fromRTSP     = "RFC 7826, and bit rates of H.264 cameras (0.5-4 Mbit/s at 720p-1080p); rates lowered by ten to keep runs short"
	fromSNMP     = "RFC 3416 polls of 1-10 min; sizes: guess"
	fromTMC      = "shape (few endpoints, periodic DNS and NTP, small sessions) after Sivanathan et al., IEEE TMC 18(8) 2019; the numbers are a guess"
	guessed      = "guess"
)

// Models returns the kinds of devices, those every site has first.
func Models() []Model {
	return slices.Concat(always(), cameras(), plants(), homes(), offices(), wards())
}

// always are what every site has once. Others name them.
func always() []Model {
	return []Model{
		{Name: "gateway", Class: "router", Vendor: "Ubiquiti", OUI: [3]byte{0x24, 0x5a, 0x4c}, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, []Routine{
				{Do: Exchange, To: "pool.ntp.example", Port: 123, Every: 1024 * second, Jitter: .02, Up: size(48, 0), Down: size(48, 0)},
				{Do: Exchange, To: "resolver.example", Port: 53, Poisson: 2 * minute, Hours: people, Up: size(48, .15), Down: size(140, .4)},
			}
		}},
		{Name: "pc-anna", Class: "pc", Vendor: "Dell", OUI: [3]byte{0xf8, 0xb1, 0x56}, VLAN: Office, Powered: office, Source: guessed, habits: pc},
		{Name: "pc-ben", Class: "pc", Vendor: "Lenovo", OUI: [3]byte{0x00, 0x2b, 0x67}, VLAN: Office, Powered: office, Source: guessed, habits: pc},
		{Name: "server", Class: "server", Vendor: "VMware", OUI: [3]byte{0x00, 0x0c, 0x29}, VLAN: Office, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(
				d.event("update.example", 443, 2*hour, 8*hour, Week{}, d.amount(3e3, 6e3, .4), d.amount(1e6, 4e6, 1)),
				d.served("pc-anna", 445, 5*minute, 20*minute, office, d.amount(50e3, 150e3, 1), d.amount(2e5, 6e5, 1)),
				d.served("pc-ben", 445, 5*minute, 20*minute, office, d.amount(50e3, 150e3, 1), d.amount(2e5, 6e5, 1)),
			)
		}},
		{Name: "nvr", Class: "nvr", Vendor: "Synology", OUI: [3]byte{0x00, 0x11, 0x32}, VLAN: CCTV, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(
				d.alive(d.cloud("quickconnect.synology.example", 2), 443, 3*minute, 10*minute, 180),
				d.served("pc-anna", 5001, hour, 3*hour, office, d.amount(5e3, 15e3, .4), d.amount(4e6, 20e6, .8)),
				d.report("update.example", 443, 24*hour, 24*hour, size(3e3, .2), d.amount(2e5, 8e5, .5)),
			)
		}},
		{Name: "scanner", Class: "server", Vendor: "VMware", OUI: [3]byte{0x00, 0x50, 0x56}, VLAN: Office, Source: "the site's own vulnerability scanner: quiet, until it is told to scan", habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.report("update.example", 443, 6*hour, 24*hour, size(3e3, .2), d.amount(1e6, 9e6, .5)))
		}},
		{Name: "phone-app", Class: "phone", Vendor: "Samsung", OUI: [3]byte{0x8c, 0x79, 0xf5}, VLAN: IoT, Source: "somebody's telephone with the vendor's new app", habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(append(pcHabits(d, awake),
				d.event(d.one("model hue-bridge"), 443, 30*minute, 2*hour, awake, d.amount(800, 2e3, .3), d.amount(1e3, 5e3, .4)),
				d.event(d.one("camera"), 554, 2*hour, 5*hour, awake, size(2e3, .2), d.amount(2e6, 9e6, .6)))...)
		}},
	}
}

func pc(d *drawing) ([]State, []Routine) { return nil, d.usual(pcHabits(d, office)...) }

func pcHabits(d *drawing, hours Week) []Routine {
	return []Routine{
		d.event("web.example", 443, 3*minute, 8*minute, hours, d.amount(4e3, 9e3, .9), d.amount(1e5, 4e5, 1.4)),
		d.event("mail.example", 443, 5*minute, 15*minute, hours, d.amount(5e3, 15e3, 1), d.amount(2e4, 5e4, 1.2)),
		d.event("update.example", 443, 2*hour, 6*hour, hours, d.amount(2e3, 5e3, .3), d.amount(1e6, 5e6, 1)),
	}
}

func (d *drawing) video(lo, hi float64) Routine {
	return Routine{Do: Held, To: "nvr", Inbound: true, Port: 554, Every: minute, Lasts: size(60, 0), Rate: true, Up: size(60, .1), Down: d.amount(lo, hi, .2)}
}

func cameras() []Model {
	return []Model{
		{Name: "axis-cam", Class: "camera", Vendor: "Axis", OUI: [3]byte{0x00, 0x40, 0x8c}, VLAN: CCTV, Share: 4, Source: fromRTSP, habits: func(d *drawing) ([]State, []Routine) {
			cloud := d.cloud("dispatch.axis.example", 1)
			return motion(), d.usual(d.video(6e3, 40e3), d.alive(cloud, 443, 3*minute, 10*minute, 120),
				Routine{Do: Session, To: cloud, Port: 443, State: "motion", Every: 20 * second, Jitter: .2, Up: d.amount(60e3, 3e5, .5), Down: size(900, .3)})
		}},
		{Name: "hik-cam", Class: "camera", Vendor: "Hikvision", OUI: [3]byte{0xc0, 0x56, 0xe3}, VLAN: CCTV, Share: 4, Source: fromRTSP, habits: func(d *drawing) ([]State, []Routine) {
			cloud := d.cloud("api.hik-connect.example", 4)
			return motion(), d.usual(d.video(6e3, 40e3), d.alive(cloud, 8555, 2*minute, 6*minute, 120),
				Routine{Do: Session, To: cloud, Port: 443, State: "motion", Every: 30 * second, Jitter: .2, Up: d.amount(30e3, 2e5, .5), Down: size(700, .3)},
				Routine{Do: Announce, To: "239.255.255.250", Port: 37020, Every: d.every(10*minute, 30*minute), Jitter: .1, Up: size(240, .05)})
		}},
		{Name: "sleepy-cam", Class: "camera", Vendor: "Immedia", OUI: [3]byte{0xf4, 0xb8, 0x5e}, VLAN: IoT, Share: 5, Source: fromBlink, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.event(d.cloud("rest.blinkhome.example", 8), 443, 90*minute, 6*hour, people, d.amount(150e3, 9e5, .6), d.amount(8e3, 20e3, .3)))
		}},
		{Name: "doorbell", Class: "camera", Vendor: "Ring", OUI: [3]byte{0x34, 0x3e, 0xa4}, VLAN: IoT, Share: 4, Source: "as sleepy-cam, with a keepalive; " + guessed, habits: func(d *drawing) ([]State, []Routine) {
			cloud := d.cloud("fw.ring.example", 6)
			return nil, d.usual(d.alive(cloud, 9999, 2*minute, 6*minute, 90),
				d.event(d.cloud("media.ring.example", 6), 443, 40*minute, 3*hour, people, d.amount(1e6, 6e6, .7), d.amount(10e3, 40e3, .3)))
		}},
	}
}

func plants() []Model {
	return []Model{
		{Name: "plc", Class: "plc", Vendor: "Siemens", OUI: [3]byte{0x28, 0x63, 0x36}, VLAN: OT, Share: 4, Source: fromModbus, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.report("server", 1883, 3*minute, 15*minute, d.amount(800, 4e3, .15), size(90, .1)))
		}},
		{Name: "hmi", Class: "hmi", Vendor: "Siemens", OUI: [3]byte{0x00, 0x1b, 0x1b}, VLAN: OT, Share: 2, Powered: shift, Source: fromModbus, habits: func(d *drawing) ([]State, []Routine) {
			poll := modbus
			poll.To, poll.Every, poll.Lasts = d.one("plc"), minute, size(60, 0)
			poll.Up, poll.Down = size(d.between(12, 60), .02), size(d.between(60, 300), .02)
			return nil, d.usual(poll, d.event("server", 1433, 5*minute, 30*minute, Week{}, d.amount(2e3, 5e3, .5), d.amount(4e3, 12e3, .6)))
		}},
		{Name: "rtu", Class: "plc", Vendor: "Schneider", OUI: [3]byte{0x00, 0x80, 0xf4}, VLAN: OT, Share: 3, Source: fromModbus, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(Routine{Do: Held, To: "server", Inbound: true, Port: 502, Every: minute, Lasts: size(60, 0), Rate: true, Packet: 12, Up: size(d.between(6, 24), .02), Down: size(d.between(12, 90), .02)})
		}},
		{Name: "energy-meter", Class: "meter", Vendor: "Janitza", OUI: [3]byte{0x00, 0x0e, 0x6b}, VLAN: OT, Share: 3, Source: fromModbus + "; a day file by FTP-like upload", habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(Routine{Do: Session, To: "server", Inbound: true, Port: 502, Every: d.every(5*minute, 15*minute), Jitter: .01, Up: size(120, .1), Down: size(900, .1)},
				d.report("server", 443, 24*hour, 24*hour, d.amount(2e5, 2e6, .1), size(900, .2)))
		}},
		{Name: "bms", Class: "building", Vendor: "Honeywell", OUI: [3]byte{0x00, 0x40, 0x84}, VLAN: OT, Share: 2, Source: fromBACnet, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(Routine{Do: Exchange, To: "server", Inbound: true, Port: 47808, Every: d.every(2*minute, 10*minute), Jitter: .02, Up: size(180, .1), Down: size(700, .2)},
				Routine{Do: Announce, To: "10.20.20.255", Port: 47808, Every: d.every(10*minute, hour), Jitter: .05, Up: size(25, 0)})
		}},
		{Name: "lora-gw", Class: "gateway", Vendor: "RAK", OUI: [3]byte{0xac, 0x1f, 0x09}, VLAN: OT, Share: 2, Source: fromLoRa, habits: func(d *drawing) ([]State, []Routine) {
			ns := d.cloud("eu1.lorawan.example", 2)
			return nil, d.usual(Routine{Do: Exchange, To: ns, Port: 1700, Every: 30 * second, Lasts: size(30, 0), Up: size(24, 0), Down: size(8, 0)},
				Routine{Do: Exchange, To: ns, Port: 1700, Poisson: d.every(2*minute, 20*minute), Up: d.amount(180, 320, .2), Down: size(4, 0)})
		}},
		{Name: "evse", Class: "charger", Vendor: "Wallbox", OUI: [3]byte{0x8c, 0x4b, 0x14}, VLAN: OT, Share: 2, Source: fromOCPP, habits: func(d *drawing) ([]State, []Routine) {
			csms := d.cloud("ocpp.charge.example", 1)
			return []State{{Name: "free", Dwell: d.amount(9e3, 40e3, .6), Hours: awake, Next: []string{"charging"}}, {Name: "charging", Dwell: d.amount(4e3, 16e3, .5), Next: []string{"free"}}},
				d.usual(d.alive(csms, 443, 4*minute, 15*minute, 130),
					Routine{Do: Session, To: csms, Port: 443, State: "charging", Every: d.every(minute, 5*minute), Jitter: .02, Up: size(1800, .1), Down: size(700, .1)})
		}},
		{Name: "inverter", Class: "solar", Vendor: "SMA", OUI: [3]byte{0x00, 0x40, 0xad}, VLAN: OT, Share: 3, Powered: daylight, Source: "portals take values every 5-15 min while there is sun; " + guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.report(d.cloud("portal.sunny.example", 1), 443, 5*minute, 15*minute, d.amount(1e3, 6e3, .2), d.amount(600, 1500, .2)))
		}},
	}
}

// daylight is when there is sun, about.
var daylight = Week{".......99999999999......", ".......99999999999......"}

func homes() []Model {
	small := func(name string, share int, class, vendor string, oui [3]byte, source string, habits func(d *drawing) []Routine) Model {
		return Model{Name: name, Class: class, Vendor: vendor, OUI: oui, VLAN: IoT, Share: share, Source: source, habits: func(d *drawing) ([]State, []Routine) { return nil, d.usual(habits(d)...) }}
	}
	return []Model{
		small("thermostat", 5, "thermostat", "ecobee", [3]byte{0x44, 0x61, 0x32}, fromTMC, func(d *drawing) []Routine {
			cloud := d.cloud("api.ecobee.example", 3)
			return []Routine{d.alive(cloud, 8190, 2*minute, 8*minute, 100), d.report(cloud, 443, 5*minute, 15*minute, d.amount(2e3, 8e3, .25), d.amount(1e3, 4e3, .3))}
		}),
		small("tapo-plug", 6, "plug", "TP-Link", [3]byte{0x50, 0xc7, 0xbf}, fromTapo, func(d *drawing) []Routine {
			cloud := d.cloud("n-device-api.tplinkcloud.example", 6)
			return []Routine{d.alive(cloud, 443, 90*second, 4*minute, 100), d.event(cloud, 443, 2*hour, 12*hour, people, d.amount(3e3, 6e3, .3), d.amount(2e3, 5e3, .3))}
		}),
		small("tuya-bulb", 6, "light", "Tuya", [3]byte{0x10, 0xd5, 0x61}, fromTuya+"; broadcasts drawn together per minute", func(d *drawing) []Routine {
			cloud := d.cloud("m2.tuyaeu.example", 3)
			return []Routine{d.alive(cloud, 8886, minute, 3*minute, 70), d.event(cloud, 8886, hour, 6*hour, people, d.amount(200, 600, .3), d.amount(200, 600, .3)),
				{Do: Announce, To: "255.255.255.255", Port: 6667, Every: d.every(5*minute, 15*minute), Jitter: .02, Up: size(188, 0)}}
		}),
		small("hue-bridge", 3, "light", "Philips", [3]byte{0x00, 0x17, 0x88}, fromTMC, func(d *drawing) []Routine {
			cloud := d.cloud("ws.meethue.example", 2)
			return []Routine{d.alive(cloud, 443, 2*minute, 6*minute, 65), d.event(cloud, 443, 20*minute, 2*hour, people, d.amount(600, 1500, .3), d.amount(1e3, 3e3, .4)),
				{Do: Announce, To: "239.255.255.250", Port: 1900, Every: d.every(10*minute, 30*minute), Jitter: .1, Up: size(320, .05)}}
		}),
		small("smart-lock", 4, "lock", "ASSA ABLOY", [3]byte{0x00, 0x17, 0x7a}, fromSchlage, func(d *drawing) []Routine {
			return []Routine{d.alive(d.cloud("iot.us-west-2.schlage.example", 20), 8883, 2*minute, 5*minute, 90),
				{Do: Exchange, To: "gateway", Port: 53, Every: d.every(30*minute, 2*hour), Jitter: .2, Up: size(45, .1), Down: size(160, .2)}}
		}),
		small("lock-hub", 4, "hub", "Espressif", [3]byte{0x24, 0x0a, 0xc4}, fromUltraloq, func(d *drawing) []Routine {
			return []Routine{d.alive(d.cloud("iot.us-west-2.u-tec.example", 30), 8883, minute, 3*minute, 60),
				d.event(d.cloud("iot.us-west-2.u-tec.example", 30), 8883, 2*hour, 8*hour, people, d.amount(2e3, 5e3, .3), d.amount(3e3, 6e3, .3))}
		}),
		small("ttlock-hub", 3, "hub", "Espressif", [3]byte{0xa4, 0xcf, 0x12}, fromSifely, func(d *drawing) []Routine {
			return []Routine{d.report(d.cloud("plug.sciener.example", 1), 9999, 5*minute, 8*minute, size(d.between(250, 500), .05), size(d.between(300, 700), .05))}
		}),
		small("sensor-gw", 4, "sensor", "Espressif", [3]byte{0x30, 0xae, 0xa4}, fromMQTT, func(d *drawing) []Routine {
			return []Routine{d.alive(d.cloud("iot-broker.example", 4), 8883, minute, 20*minute, 200)}
		}),
		small("air-sensor", 4, "sensor", "Netatmo", [3]byte{0x70, 0xee, 0x50}, fromTMC, func(d *drawing) []Routine {
			return []Routine{d.report(d.cloud("netcom.netatmo.example", 2), 25050, 9*minute, 11*minute, d.amount(400, 1500, .1), d.amount(200, 600, .1))}
		}),
		{Name: "speaker", Class: "speaker", Vendor: "Sonos", OUI: [3]byte{0x34, 0x7e, 0x5c}, VLAN: IoT, Share: 4, Source: fromTMC, habits: func(d *drawing) ([]State, []Routine) {
			return []State{{Name: "quiet", Dwell: d.amount(4e3, 16e3, .6), Hours: awake, Next: []string{"music"}}, {Name: "music", Dwell: d.amount(1200, 5e3, .6), Next: []string{"quiet"}}},
				d.usual(d.alive(d.cloud("api.sonos.example", 4), 443, 2*minute, 6*minute, 130),
					Routine{Do: Held, To: d.cloud("stream.radio.example", 6), Port: 443, State: "music", Every: minute, Lasts: size(60, 0), Rate: true, Up: size(40, .2), Down: d.amount(8e3, 40e3, .1)},
					Routine{Do: Announce, To: "239.255.255.250", Port: 1900, Every: d.every(10*minute, 30*minute), Jitter: .1, Up: size(310, .05)})
		}},
		{Name: "tv", Class: "tv", Vendor: "Samsung", OUI: [3]byte{0x64, 0x1c, 0xb0}, VLAN: IoT, Share: 3, Source: "many third parties, streams in the evening; " + guessed, habits: func(d *drawing) ([]State, []Routine) {
			return []State{{Name: "off", Dwell: d.amount(9e3, 30e3, .6), Hours: awake, Next: []string{"film"}}, {Name: "film", Dwell: d.amount(2e3, 8e3, .5), Next: []string{"off"}}},
				d.usual(d.alive(d.cloud("osb.samsungcloud.example", 6), 443, 4*minute, 12*minute, 150),
					d.event("web.example", 443, hour, 4*hour, awake, d.amount(2e3, 6e3, .5), d.amount(2e4, 1e5, .8)),
					Routine{Do: Session, To: d.cloud("video.stream.example", 12), Port: 443, State: "film", Every: minute, Jitter: .1, Up: size(9e3, .3), Down: d.amount(5e5, 3e6, .4)})
		}},
		{Name: "vacuum", Class: "appliance", Vendor: "iRobot", OUI: [3]byte{0x50, 0x14, 0x79}, VLAN: IoT, Share: 2, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			cloud := d.cloud("iot.irobot.example", 10)
			return []State{{Name: "docked", Dwell: d.amount(40e3, 120e3, .4), Hours: awake, Next: []string{"cleaning"}}, {Name: "cleaning", Dwell: d.amount(1500, 5e3, .4), Next: []string{"docked"}}},
				d.usual(d.alive(cloud, 8883, 3*minute, 8*minute, 80), Routine{Do: Session, To: cloud, Port: 443, State: "cleaning", Every: minute, Jitter: .3, Up: d.amount(4e3, 30e3, .5), Down: size(900, .3)})
		}},
	}
}

func offices() []Model {
	return []Model{
		{Name: "printer", Class: "printer", Vendor: "HP", OUI: [3]byte{0x3c, 0xd9, 0x2b}, VLAN: Office, Share: 3, Source: fromSNMP, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.served("pc-anna", 9100, 40*minute, 3*hour, office, d.amount(2e5, 1e6, 1), size(400, .2)),
				d.served("pc-ben", 9100, 40*minute, 3*hour, office, d.amount(2e5, 1e6, 1), size(400, .2)),
				Routine{Do: Exchange, To: "server", Inbound: true, Port: 161, Every: d.every(5*minute, 15*minute), Jitter: .01, Up: size(90, .05), Down: size(130, .05)},
				d.report(d.cloud("connect.hpeprint.example", 2), 443, 20*minute, 2*hour, d.amount(1e3, 3e3, .2), size(1500, .2)))
		}},
		{Name: "voip", Class: "phone", Vendor: "Polycom", OUI: [3]byte{0x64, 0x16, 0x7f}, VLAN: Office, Share: 5, Source: fromSIP, habits: func(d *drawing) ([]State, []Routine) {
			telco := d.cloud("sip.telco.example", 1)
			return nil, d.usual(Routine{Do: Exchange, To: telco, Port: 5060, Every: d.every(3*minute, 20*minute), Jitter: .02, Up: size(520, .03), Down: size(480, .03)},
				Routine{Do: Exchange, To: telco, Port: 16384, Poisson: d.every(hour, 4*hour), Hours: office, Lasts: size(150, .8), Rate: true, Packet: 172, Up: size(8600, 0), Down: size(8600, 0)})
		}},
		{Name: "signage", Class: "tv", Vendor: "LG", OUI: [3]byte{0xa8, 0x23, 0xfe}, VLAN: Office, Share: 2, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			cms := d.cloud("cms.signage.example", 3)
			return nil, d.usual(d.report(cms, 443, 5*minute, 15*minute, size(1200, .2), d.amount(1e4, 6e4, .6)), d.event(cms, 443, hour, 4*hour, awake, size(4e3, .2), d.amount(4e6, 20e6, .6)))
		}},
		{Name: "badge-reader", Class: "badge-reader", Vendor: "HID", OUI: [3]byte{0x00, 0x06, 0x8e}, VLAN: Office, Share: 3, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.event("server", 4070, 4*minute, 15*minute, office, size(420, .1), size(260, .1)),
				Routine{Do: Exchange, To: "server", Port: 4070, Every: d.every(3*minute, 10*minute), Jitter: .02, Up: size(64, 0), Down: size(64, 0)})
		}},
		{Name: "ups", Class: "ups", Vendor: "APC", OUI: [3]byte{0x00, 0xc0, 0xb7}, VLAN: Office, Share: 2, Source: fromSNMP, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(Routine{Do: Exchange, To: "server", Inbound: true, Port: 161, Every: d.every(2*minute, 10*minute), Jitter: .01, Up: size(90, .05), Down: size(140, .05)})
		}},
		{Name: "nas", Class: "nas", Vendor: "QNAP", OUI: [3]byte{0x24, 0x5e, 0xbe}, VLAN: Office, Share: 2, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.served("pc-anna", 445, 10*minute, hour, office, d.amount(1e5, 1e6, 1), d.amount(2e5, 2e6, 1)), d.alive(d.cloud("myqnapcloud.example", 4), 443, 4*minute, 12*minute, 140))
		}},
		{Name: "pos", Class: "payment", Vendor: "Verifone", OUI: [3]byte{0x00, 0x0b, 0x4f}, VLAN: Office, Share: 2, Powered: office, Source: guessed, habits: func(d *drawing) ([]State, []Routine) {
			acquirer := d.cloud("acquirer.pay.example", 1)
			return nil, d.usual(d.event(acquirer, 443, 5*minute, 20*minute, office, d.amount(1e3, 3e3, .2), d.amount(1e3, 3e3, .2)), d.report(acquirer, 443, 30*minute, hour, size(600, .1), size(400, .1)))
		}},
	}
}

func wards() []Model {
	return []Model{
		{Name: "infusion-pump", Class: "infusion-pump", Vendor: "Smiths Medical", OUI: [3]byte{0x00, 0x1a, 0x01}, VLAN: Clinic, Share: 4, Source: fromHL7, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.report("server", 2575, 2*minute, 10*minute, d.amount(400, 900, .1), size(180, .05)))
		}},
		{Name: "patient-monitor", Class: "monitor", Vendor: "Philips", OUI: [3]byte{0x00, 0x09, 0xfb}, VLAN: Clinic, Share: 3, Source: fromHL7, habits: func(d *drawing) ([]State, []Routine) {
			return []State{{Name: "standby", Dwell: d.amount(9e3, 40e3, .7), Next: []string{"patient"}}, {Name: "patient", Dwell: d.amount(2e4, 9e4, .7), Next: []string{"standby"}}},
				d.usual(Routine{Do: Held, To: "server", Port: 24105, State: "patient", Every: minute, Lasts: size(60, 0), Rate: true, Up: d.amount(300, 900, .05), Down: size(20, .05)},
					Routine{Do: Exchange, To: "server", Port: 24105, Every: d.every(2*minute, 5*minute), Jitter: .02, Up: size(60, .05), Down: size(60, .05)})
		}},
		{Name: "ultrasound", Class: "imaging", Vendor: "GE Medical", OUI: [3]byte{0x00, 0x15, 0x5f}, VLAN: Clinic, Share: 2, Powered: office, Source: "DICOM (tcp/104) studies of some MB; " + guessed, habits: func(d *drawing) ([]State, []Routine) {
			return nil, d.usual(d.event("server", 104, 20*minute, 90*minute, office, d.amount(1e6, 9e6, .8), size(3e3, .2)), d.report("server", 104, 10*minute, 30*minute, size(300, .05), size(300, .05)))
		}},
	}
}
