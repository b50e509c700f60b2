package site

import (
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * hour
)

// Networks of the site.
const (
	CCTV   = 10
	OT     = 20
	Office = 30
	IoT    = 40
	Clinic = 50
)

// VLANs returns the networks of the site.
func VLANs() []VLAN {
	return []VLAN{{CCTV, "cctv"}, {OT, "ot"}, {Office, "office"}, {IoT, "iot"}, {Clinic, "clinic"}}
}

// Routers returns the exporters of the site.
func Routers() []Router {
	return []Router{
		{Name: "A", Protocol: "v9", Agent: "10.20.0.11", Source: "127.0.1.1", Domain: 101, About: "router, sees cctv and ot"},
		{Name: "B", Protocol: "ipfix", Agent: "10.20.0.12", Source: "127.0.1.2", Domain: 202, About: "firewall, sees iot, clinic, printer and badge reader"},
		{Name: "C", Protocol: "v5", Agent: "10.20.0.13", Source: "127.0.1.3", Domain: 3, About: "old switch, sees phone, signage and server"},
		{Name: "D", Protocol: "sflow", Agent: "10.20.0.14", Source: "127.0.1.4", Domain: 0, About: "switch, samples PCs and speaker"},
	}
}

// Domains returns what the site talks to on the Internet.
func Domains() []Domain {
	return []Domain{
		{Name: "dispatch.axis.example", Prefix: "52.28.114.0", Addresses: 3, TTL: 30 * minute, RTT: 24 * time.Millisecond},
		{Name: "api.hik-connect.example", Prefix: "18.196.77.0", Addresses: 4, TTL: 10 * minute, RTT: 31 * time.Millisecond},
		{Name: "quickconnect.synology.example", Prefix: "159.100.4.0", Addresses: 2, TTL: hour, RTT: 18 * time.Millisecond},
		{Name: "api.ecobee.example", Prefix: "35.190.44.0", Addresses: 3, TTL: 30 * minute, RTT: 38 * time.Millisecond},
		{Name: "use1-wap.tplinkcloud.example", Prefix: "54.156.201.0", Addresses: 4, TTL: 30 * minute, RTT: 96 * time.Millisecond},
		{Name: "ws.meethue.example", Prefix: "34.117.13.0", Addresses: 2, TTL: hour, RTT: 22 * time.Millisecond},
		{Name: "iot-broker.example", Prefix: "52.46.140.0", Addresses: 4, TTL: hour, RTT: 29 * time.Millisecond},
		{Name: "api.sonos.example", Prefix: "52.71.9.0", Addresses: 4, TTL: 30 * minute, RTT: 92 * time.Millisecond},
		{Name: "stream.radio.example", Prefix: "23.61.250.0", Addresses: 6, TTL: 5 * minute, RTT: 9 * time.Millisecond},
		{Name: "connect.hpeprint.example", Prefix: "15.73.182.0", Addresses: 2, TTL: hour, RTT: 41 * time.Millisecond},
		{Name: "sip.telco.example", Prefix: "212.227.67.0", Addresses: 1, TTL: hour, RTT: 14 * time.Millisecond},
		{Name: "cms.signage.example", Prefix: "13.107.42.0", Addresses: 3, TTL: 30 * minute, RTT: 17 * time.Millisecond},
		{Name: "pool.ntp.example", Prefix: "162.159.200.0", Addresses: 2, TTL: hour, RTT: 11 * time.Millisecond},
		{Name: "resolver.example", Prefix: "9.9.9.0", Addresses: 1, TTL: 24 * hour, RTT: 8 * time.Millisecond},
		{Name: "update.example", Prefix: "20.54.37.0", Addresses: 4, TTL: 30 * minute, RTT: 19 * time.Millisecond},
		{Name: "mail.example", Prefix: "52.97.201.0", Addresses: 4, TTL: 10 * minute, RTT: 16 * time.Millisecond},
		{Name: "web.example", Prefix: "151.101.0.0", Addresses: 3, TTL: 10 * minute, RTT: 12 * time.Millisecond, Sites: 80},
	}
}

// Hours of the week.
var (
	people = Week{"000001589999899998654321", "000000124555555554433210"} // a busy building
	office = Week{".......49999799998......", "........................"}
	shift  = Week{"......999999999999......", "........................"} // 06:00-18:00, workdays
	awake  = Week{"......259988899998899950", "........369999999999994."}
)

func size(median, sigma float64) Size { return Size{median, sigma} }

// common are the habits nearly every device has.
func common(own ...Routine) []Routine {
	return append(own,
		Routine{Do: Exchange, To: "gateway", Port: 123, Every: 1024 * second, Jitter: .02, Up: size(48, 0), Down: size(48, 0)},
		Routine{Do: Exchange, To: "gateway", Port: 67, Every: 12 * hour, Jitter: .01, Up: size(300, 0), Down: size(300, 0)},
	)
}

func keepalive(to string, port uint16, every time.Duration, up, down float64) Routine {
	return Routine{Do: Held, To: to, Port: port, Every: every, Jitter: .04, Up: size(up, .15), Down: size(down, .15)}
}

// Devices returns the personas, gateway first. Sizes and periods are guesses within what device
// traces show; each device also draws its own scale and tempo from the seed.
func Devices() []Device {
	return []Device{
		{Name: "gateway", Class: "router", Vendor: "Ubiquiti", MAC: packet.MAC{0x24, 0x5a, 0x4c, 0x10, 0x20, 0x01}, Host: 1, Exporter: "A",
			Routines: []Routine{
				{Do: Exchange, To: "pool.ntp.example", Port: 123, Every: 1024 * second, Jitter: .02, Up: size(48, 0), Down: size(48, 0)},
				{Do: Exchange, To: "resolver.example", Port: 53, Poisson: 5 * minute, Hours: people, Up: size(48, .15), Down: size(140, .4)},
			}},

		// Router A: cameras and the plant.
		{Name: "cam-entrance", Class: "camera", Vendor: "Axis", MAC: packet.MAC{0x00, 0x40, 0x8c, 0x3a, 0x11, 0x07}, VLAN: CCTV, Host: 11, Exporter: "A",
			States: motion(), Routines: common(
				video("nvr", 240e3),
				keepalive("dispatch.axis.example", 443, 2*minute, 160, 90),
				Routine{Do: Session, To: "dispatch.axis.example", Port: 443, State: "motion", Every: 20 * second, Jitter: .2, Up: size(180e3, .5), Down: size(900, .3)},
			)},
		{Name: "cam-yard", Class: "camera", Vendor: "Hikvision", MAC: packet.MAC{0xc0, 0x56, 0xe3, 0x52, 0x9a, 0x12}, VLAN: CCTV, Host: 12, Exporter: "A",
			States: motion(), Routines: common(
				video("nvr", 180e3),
				keepalive("api.hik-connect.example", 8555, 2*minute, 120, 120),
				Routine{Do: Session, To: "api.hik-connect.example", Port: 443, State: "motion", Every: 30 * second, Jitter: .2, Up: size(90e3, .5), Down: size(700, .3)},
			)},
		{Name: "nvr", Class: "nvr", Vendor: "Synology", MAC: packet.MAC{0x00, 0x11, 0x32, 0x8d, 0x40, 0x20}, VLAN: CCTV, Host: 20, Exporter: "A",
			Routines: common(
				keepalive("quickconnect.synology.example", 443, 3*minute, 210, 150),
				Routine{Do: Session, To: "pc-anna", Inbound: true, Port: 5001, Poisson: 90 * minute, Hours: office, Up: size(9e3, .4), Down: size(12e6, .8)},
				Routine{Do: Session, To: "update.example", Port: 443, Every: 24 * hour, Jitter: .01, Up: size(3e3, .2), Down: size(400e3, .5)},
				Routine{Do: Ping, To: "gateway", Every: 10 * minute, Jitter: .02, Up: size(56, 0)},
			)},
		{Name: "plc", Class: "plc", Vendor: "Siemens", MAC: packet.MAC{0x28, 0x63, 0x36, 0x71, 0x05, 0xa1}, VLAN: OT, Host: 11, Exporter: "A",
			Routines: common(
				Routine{Do: Session, To: "server", Port: 1883, Every: 5 * minute, Jitter: .02, Up: size(2200, .15), Down: size(90, .1)},
			)},
		{Name: "hmi", Class: "hmi", Vendor: "Siemens", MAC: packet.MAC{0x00, 0x1b, 0x1b, 0x64, 0x2f, 0x31}, VLAN: OT, Host: 12, Exporter: "A", Powered: shift,
			Routines: common(
				modbus,
				Routine{Do: Session, To: "server", Port: 1433, Poisson: 12 * minute, Up: size(3e3, .5), Down: size(8e3, .6)},
			)},

		// Firewall B: small things, the ward, the printer and the badge reader.
		{Name: "thermostat", Class: "thermostat", Vendor: "ecobee", MAC: packet.MAC{0x44, 0x61, 0x32, 0x0c, 0x77, 0x41}, VLAN: IoT, Host: 11, Exporter: "B",
			Routines: common(
				keepalive("api.ecobee.example", 8190, 2*minute, 110, 80),
				Routine{Do: Session, To: "api.ecobee.example", Port: 443, Every: 5 * minute, Jitter: .05, Up: size(6e3, .25), Down: size(3e3, .3)},
			)},
		{Name: "plug-coffee", Class: "plug", Vendor: "TP-Link", MAC: packet.MAC{0x50, 0xc7, 0xbf, 0x21, 0x6e, 0x42}, VLAN: IoT, Host: 12, Exporter: "B",
			Routines: common(
				keepalive("use1-wap.tplinkcloud.example", 443, 90*second, 95, 95),
				Routine{Do: Session, To: "use1-wap.tplinkcloud.example", Port: 443, Poisson: 30 * minute, Hours: people, Up: size(1400, .3), Down: size(1100, .3)},
			)},
		{Name: "light-bridge", Class: "light", Vendor: "Philips", MAC: packet.MAC{0x00, 0x17, 0x88, 0x5b, 0xd0, 0x43}, VLAN: IoT, Host: 13, Exporter: "B",
			Routines: common(
				keepalive("ws.meethue.example", 443, 2*minute, 70, 60),
				Routine{Do: Session, To: "ws.meethue.example", Port: 443, Poisson: 20 * minute, Hours: people, Up: size(900, .3), Down: size(1600, .4)},
				Routine{Do: Announce, To: "239.255.255.250", Port: 1900, Every: 15 * minute, Jitter: .1, Up: size(320, .05)},
			)},
		{Name: "sensor-gw", Class: "sensor", Vendor: "Espressif", MAC: packet.MAC{0x24, 0x0a, 0xc4, 0x9e, 0x13, 0x44}, VLAN: IoT, Host: 14, Exporter: "B",
			Routines: common(
				keepalive("iot-broker.example", 8883, minute, 260, 60),
			)},
		{Name: "pump-7", Class: "infusion-pump", Vendor: "Smiths Medical", MAC: packet.MAC{0x00, 0x1a, 0x01, 0x33, 0x90, 0x51}, VLAN: Clinic, Host: 11, Exporter: "B",
			Routines: common(
				Routine{Do: Session, To: "server", Port: 2575, Every: 2 * minute, Jitter: .03, Up: size(640, .1), Down: size(180, .05)},
			)},
		{Name: "badge-reader", Class: "badge-reader", Vendor: "HID", MAC: packet.MAC{0x00, 0x06, 0x8e, 0x0f, 0x2d, 0x52}, VLAN: Office, Host: 52, Exporter: "B", Powered: office,
			Routines: common(
				Routine{Do: Session, To: "server", Port: 4070, Poisson: 4 * minute, Hours: office, Up: size(420, .1), Down: size(260, .1)},
				Routine{Do: Exchange, To: "server", Port: 4070, Every: 3 * minute, Jitter: .02, Up: size(64, 0), Down: size(64, 0)},
			)},
		{Name: "printer", Class: "printer", Vendor: "HP", MAC: packet.MAC{0x3c, 0xd9, 0x2b, 0x48, 0xee, 0x53}, VLAN: Office, Host: 53, Exporter: "B",
			Routines: common(
				Routine{Do: Session, To: "pc-anna", Inbound: true, Port: 9100, Poisson: 35 * minute, Hours: office, Up: size(600e3, 1), Down: size(400, .2)},
				Routine{Do: Session, To: "pc-ben", Inbound: true, Port: 9100, Poisson: 50 * minute, Hours: office, Up: size(400e3, 1), Down: size(400, .2)},
				Routine{Do: Exchange, To: "server", Inbound: true, Port: 161, Every: 10 * minute, Jitter: .01, Up: size(90, .05), Down: size(130, .05)},
				Routine{Do: Session, To: "connect.hpeprint.example", Port: 443, Every: 30 * minute, Jitter: .05, Up: size(1900, .2), Down: size(1500, .2)},
				Routine{Do: Announce, To: "224.0.0.251", Port: 5353, Every: 20 * minute, Jitter: .1, Up: size(260, .1)},
			)},

		// Switch C, which only speaks NetFlow v5.
		{Name: "phone-desk", Class: "phone", Vendor: "Polycom", MAC: packet.MAC{0x64, 0x16, 0x7f, 0x2a, 0x08, 0x61}, VLAN: Office, Host: 61, Exporter: "C",
			Routines: common(
				Routine{Do: Exchange, To: "sip.telco.example", Port: 5060, Every: 2 * minute, Jitter: .02, Up: size(520, .03), Down: size(480, .03)},
				Routine{Do: Exchange, To: "sip.telco.example", Port: 16384, Poisson: 40 * minute, Hours: office, Lasts: size(150, .8), Rate: true, Packet: 172, Up: size(8600, 0), Down: size(8600, 0)},
			)},
		{Name: "signage", Class: "tv", Vendor: "Samsung", MAC: packet.MAC{0x8c, 0x79, 0xf5, 0x70, 0xab, 0x62}, VLAN: Office, Host: 62, Exporter: "C",
			Routines: common(
				Routine{Do: Session, To: "cms.signage.example", Port: 443, Every: 5 * minute, Jitter: .05, Up: size(1200, .2), Down: size(40e3, .6)},
				Routine{Do: Session, To: "cms.signage.example", Port: 443, Poisson: hour, Hours: awake, Up: size(4e3, .2), Down: size(15e6, .6)},
			)},
		{Name: "server", Class: "server", Vendor: "VMware", MAC: packet.MAC{0x00, 0x0c, 0x29, 0x5e, 0x77, 0x0a}, VLAN: Office, Host: 10, Exporter: "C",
			Routines: common(
				Routine{Do: Session, To: "update.example", Port: 443, Poisson: 3 * hour, Up: size(4e3, .4), Down: size(2e6, 1.2)},
				Routine{Do: Session, To: "pc-anna", Inbound: true, Port: 445, Poisson: 10 * minute, Hours: office, Up: size(90e3, 1.2), Down: size(300e3, 1.2)},
				Routine{Do: Session, To: "pc-ben", Inbound: true, Port: 445, Poisson: 10 * minute, Hours: office, Up: size(90e3, 1.2), Down: size(300e3, 1.2)},
			)},

		// Switch D, which samples.
		{Name: "speaker", Class: "speaker", Vendor: "Sonos", MAC: packet.MAC{0x34, 0x7e, 0x5c, 0x19, 0xc4, 0x71}, VLAN: IoT, Host: 21, Exporter: "D",
			States: []State{
				{Name: "quiet", Dwell: size(5400, .6), Hours: awake, Next: []string{"music"}},
				{Name: "music", Dwell: size(2400, .6), Next: []string{"quiet"}},
			},
			Routines: common(
				keepalive("api.sonos.example", 443, 2*minute, 140, 120),
				Routine{Do: Held, To: "stream.radio.example", Port: 443, State: "music", Every: 10 * second, Lasts: size(10, 0), Rate: true, Up: size(40, .2), Down: size(32e3, .1)},
				Routine{Do: Announce, To: "239.255.255.250", Port: 1900, Every: 15 * minute, Jitter: .1, Up: size(310, .05)},
			)},
		{Name: "pc-anna", Class: "pc", Vendor: "Dell", MAC: packet.MAC{0xf8, 0xb1, 0x56, 0xc3, 0x1e, 0x81}, VLAN: Office, Host: 81, Exporter: "D", Powered: office, Routines: desk()},
		{Name: "pc-ben", Class: "pc", Vendor: "Lenovo", MAC: packet.MAC{0x00, 0x2b, 0x67, 0x99, 0x4d, 0x82}, VLAN: Office, Host: 82, Exporter: "D", Powered: office, Routines: desk()},
	}
}

// modbus is an operator panel reading a controller twice a second.
var modbus = Routine{Do: Held, To: "plc", Port: 502, Every: 10 * second, Lasts: size(10, 0), Rate: true, Packet: 12, Up: size(24, .02), Down: size(120, .02)}

// motion are the states of a camera; people make it move.
func motion() []State {
	return []State{
		{Name: "still", Dwell: size(1500, .8), Hours: people, Next: []string{"motion"}},
		{Name: "motion", Dwell: size(45, .6), Next: []string{"still", "still", "motion"}},
	}
}

// video is a recorder pulling RTSP over TCP from the camera, without a pause.
func video(nvr string, octetsPerSecond float64) Routine {
	return Routine{Do: Held, To: nvr, Inbound: true, Port: 554, Every: 10 * second, Lasts: size(10, 0), Rate: true, Up: size(60, .1), Down: size(octetsPerSecond, .25)}
}

// desk is what an office PC does.
func desk() []Routine {
	return common(
		Routine{Do: Session, To: "web.example", Port: 443, Poisson: minute, Hours: office, Up: size(6e3, .9), Down: size(250e3, 1.4)},
		Routine{Do: Session, To: "mail.example", Port: 443, Poisson: 3 * minute, Hours: office, Up: size(9e3, 1), Down: size(30e3, 1.2)},
		Routine{Do: Session, To: "update.example", Port: 443, Poisson: 2 * hour, Hours: office, Up: size(3e3, .3), Down: size(3e6, 1)},
	)
}
