"""Reads captures (pcap, pcapng) and writes pcap, with the standard library alone: the independent
second opinion on what Mayfly's own ports read and wrote."""
import collections
import ipaddress
import struct

ETHERNET = 1
Frame = collections.namedtuple("Frame", "bytes wire_length")  # wire_length: before any cut


class Capture:
    def __init__(self, link_type, frames):
        self.link_type = link_type
        self.frames = frames


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        return _read_pcapng(data)
    return _read_pcap(data)


def _read_pcap(data):
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
             b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}.get(data[:4])
    if order is None:
        raise ValueError("not a capture")
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    frames, at = [], 24
    while at + 16 <= len(data):
        captured, wire = struct.unpack_from(order + "II", data, at + 8)
        if at + 16 + captured > len(data):
            break  # a capture cut in its last record
        frames.append(Frame(data[at + 16:at + 16 + captured], wire))
        at += 16 + captured
    return Capture(link_type, frames)


def _read_pcapng(data):
    frames, link_types, order, at = [], [], "<", 0
    while at + 12 <= len(data):
        kind = struct.unpack_from(order + "I", data, at)[0]
        if kind == 0x0A0D0D0A:
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            link_types = []
        length = struct.unpack_from(order + "I", data, at + 4)[0]
        if length < 12 or at + length > len(data):
            break
        if kind == 1:
            link_types.append(struct.unpack_from(order + "H", data, at + 8)[0])
        elif kind == 6:  # enhanced packet
            captured, wire = struct.unpack_from(order + "II", data, at + 20)
            frames.append(Frame(data[at + 28:at + 28 + captured], wire))
        elif kind == 3:  # simple packet
            wire = struct.unpack_from(order + "I", data, at + 8)[0]
            frames.append(Frame(data[at + 12:at + 12 + min(wire, length - 16)], wire))
        at += length
    return Capture(link_types[0] if link_types else ETHERNET, frames)


def write(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, ETHERNET))
        for i, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1, i % 1000000, len(frame), len(frame)))
            file.write(frame)


def flow_of(frame):
    """A key at least as fine as a directed five-tuple: packets that share it are one flow to Mayfly
    too, so their order must be kept."""
    if len(frame) < 14:
        return ("runt",)
    at, tags = 12, []
    kind = int.from_bytes(frame[at:at + 2], "big")
    while kind in (0x8100, 0x88A8, 0x9100) and len(tags) < 2 and len(frame) >= at + 6:
        tags.append(int.from_bytes(frame[at + 2:at + 4], "big") & 0xFFF)
        at += 4
        kind = int.from_bytes(frame[at:at + 2], "big")
    layer2 = (frame[:12], tuple(tags), kind)
    packet = frame[at + 2:]
    if kind == 0x0800 and len(packet) >= 20 and packet[0] >> 4 == 4:
        return layer2 + _ipv4(packet)
    if kind == 0x86DD and len(packet) >= 40 and packet[0] >> 4 == 6:
        return layer2 + _ipv6(packet)
    return layer2


def _ipv4(packet):
    header = (packet[0] & 15) * 4
    fragment = int.from_bytes(packet[6:8], "big")
    key = (packet[12:16], packet[16:20], packet[9])
    if fragment & 0x3FFF:  # one datagram: its first and later fragments are one flow
        return key + ("fragment", packet[4:6])
    return key + _ports(packet[9], packet[header:])


def _ipv6(packet):
    following, at = packet[6], 40
    key = (packet[8:24], packet[24:40])
    while following in (0, 43, 44, 51, 60) and len(packet) >= at + 8:
        if following == 44:
            if int.from_bytes(packet[at + 2:at + 4], "big") & 0xFFF9:
                return key + ("fragment", packet[at + 4:at + 8])
            following, at = packet[at], at + 8
        else:
            size = (packet[at + 1] + 2) * 4 if following == 51 else (packet[at + 1] + 1) * 8
            following, at = packet[at], at + size
    return key + (following,) + _ports(following, packet[at:])


def _ports(protocol, payload):
    if protocol in (6, 17, 132, 33, 136) and len(payload) >= 4:
        return (payload[0:2], payload[2:4])
    if protocol in (1, 58) and len(payload) >= 8:
        return (payload[0:2], payload[4:6])  # type and code, identifier
    return ()


# Building frames ---------------------------------------------------------------------------------

def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def udp_frame(source, destination, source_port, destination_port, payload=b"", tags=(),
              source_mac=b"\x02\0\0\0\0\x01", destination_mac=b"\x02\0\0\0\0\x02"):
    """An Ethernet frame; `tags` are VLAN ids from the outside in (two: the outer is 802.1ad)."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    segment = struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    pseudo = a.packed + b.packed + struct.pack(">BBH", 0, 17, len(segment))
    segment = segment[:6] + struct.pack(">H", checksum(pseudo + segment) or 0xFFFF) + segment[8:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 17, 0)
    header += a.packed + b.packed
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    frame = destination_mac + source_mac
    for i, tag in enumerate(tags):
        frame += struct.pack(">HH", 0x88A8 if i + 1 < len(tags) else 0x8100, tag)
    return frame + b"\x08\x00" + header + segment
