"""Dumps of sessions, rotated tokens and owners, as DUMP answers and RESTORE takes them, byte by byte.

    +------+---------+--------------+-----+---------------+-----+---------+-------+
    | 0x07 | type id | number       | ... | string        | end | version | crc64 |
    |      | length  | 0x02, length |     | 0x05, string  | 0x00| 2 bytes | 8     |
    +------+---------+--------------+-----+---------------+-----+---------+-------+

A length is 1, 2, 5 or 9 bytes, a string a length and its bytes (or LZF-compressed); the version is
the server's RDB version. A session is a string for each chunk of payloads, the first with a head:
created, deadline, ttl and count of payloads. In a chunk each payload is its name's length and its
data's length, then the name, then the data; before it, if it has a life of its own, a NUL and when
that ends, in six bytes, the lowest first. Numbers have seven bits a byte, the lowest first, and
128 added to all bytes but the last. A rotated token is one string, its successor; an owner is one,
of 41 bytes for each token: id, signature in binary, pad.
"""

MODULE_VALUE, UNSIGNED, STRING, END = 7, 2, 5, 0
FORMAT = 3  # of "sgsession"


def crc64_table():
    """Of the polynomial of Jones (0xad93d23594c935a9), bits reflected: that of the RDB's footer."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x95AC9329AC4BC9B5 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc64_table()


def crc64(data):
    value = 0
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def footed(body, version):
    """A dump with this body, this RDB version and the checksum that belongs to them."""
    body = body + version.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def taken_apart(dump):
    """(body, RDB version) of a dump."""
    assert crc64(dump[:-8]) == int.from_bytes(dump[-8:], "little"), "not the crc64 of the server"
    return dump[:-10], int.from_bytes(dump[-10:-8], "little")


def length(number):
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return (number | 1 << 14).to_bytes(2, "big")
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def string(data):
    return length(len(data)) + data


def type_id(name, format):
    """Nine characters of six bits each, and ten bits of the encoding's version."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number = 0
    for character in name:
        number = number << 6 | alphabet.index(character)
    return number << 10 | format


def number(value):
    """A number as a session packs it."""
    return (bytes([value % 128 + 128]) + number(value // 128)) if value >= 128 else bytes([value])


def payload(name, data, name_len=None, data_len=None, ends_at=None):
    """One payload of a chunk; its lengths may lie."""
    life = b"" if ends_at is None else b"\0" + ends_at.to_bytes(6, "little")
    return (life + number(len(name) if name_len is None else name_len)
            + number(len(data) if data_len is None else data_len) + name + data)


def parts(id, *values):
    """A dump's body of these values, int or bytes, with nothing compressed."""
    encoded = [bytes([MODULE_VALUE]), length(id)]
    for value in values:
        encoded.append(bytes([UNSIGNED]) + length(value) if isinstance(value, int)
                       else bytes([STRING]) + string(value))
    return b"".join(encoded) + bytes([END])


def session(announced, chunks, times=(0, 0, 0), format=FORMAT):
    """The body of a session; its times are created, deadline and ttl."""
    head = b"".join(map(number, (*times, announced)))
    return parts(type_id(b"sgsession", format), head + b"".join(chunks[:1]), *chunks[1:])


def packed(token):
    """A v2 token as a list has it."""
    return token[3:25] + bytes.fromhex(token[26:58].decode()) + token[58:]


def owner(tokens, format=1):
    """The body of an owner, with these packed tokens."""
    return parts(type_id(b"sgownedby", format), b"".join(tokens))


def rotated(successor, format=1):
    return parts(type_id(b"sgrotated", format), successor)
