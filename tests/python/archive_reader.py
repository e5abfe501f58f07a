"""A reader of .niwaki archives written from docs/archive.md alone; it shares nothing with the C++ one but zlib and zstd."""

import ctypes
import ctypes.util
import hashlib
import math
import zlib

MAGIC = b"\x89niwaki\n"
POWERS = [round(2**30 * 2 ** (-i / 32)) for i in range(32)]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "ends early"
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def u32(self):
        return int.from_bytes(self.take(4), "little")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def rest(self):
        return self.take(len(self.data) - self.at)


def zstd(frame, size):
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(max(size, 1))
    done = library.ZSTD_decompress(out, ctypes.c_size_t(size), bytes(frame), ctypes.c_size_t(len(frame)))
    assert done == size
    return out.raw[:size]


def golomb(bits, order):
    zeros = 0
    while next(bits) == 0:
        zeros += 1
    value = 1
    for _ in range(zeros):
        value = 2 * value + next(bits)
    value -= 1
    for _ in range(order):
        value = 2 * value + next(bits)
    return value


def explicit_table(reader):
    head, low, high = reader.byte(), reader.byte(), reader.byte()

    def all_bits():
        while True:
            byte = reader.byte()
            for i in range(7, -1, -1):
                yield byte >> i & 1

    bits, before, table = all_bits(), 0, {}
    for symbol in range(low, high + 1):
        if head & 2 and not next(bits):
            continue
        folded = golomb(bits, head >> 2)
        before += -(folded + 1) // 2 if folded & 1 else folded // 2
        table[symbol] = before
    total = 1 << (14 if head & 1 else 12)
    assert sum(table.values()) == total
    return table, total


def shape_table(reader):
    head, center, low, high, scale = (reader.byte() for _ in range(5))
    power = head & 3
    weights = {}
    for symbol in range(256):
        place = (symbol - center + 128) % 256
        if not low <= place <= high or (head & 4 and place == 128):
            continue
        d = abs(place - 128)
        base = (16 * d, math.isqrt(256 * d**3), 16 * d * d)[power]
        e = base * ((16 + scale % 16) << scale // 16) >> (12 + 3 * power)
        weights[symbol] = 0 if e >= 960 else POWERS[e % 32] >> e // 32
    total, weight_sum = 1 << 14, sum(weights.values())
    table = {s: 1 + (w * (total - len(weights)) // weight_sum if weight_sum else 0) for s, w in weights.items()}
    table[max(weights, key=lambda s: (weights[s], -s))] += total - sum(table.values())
    return table, total


def rans(data, table, total, count):
    lanes = 1 if count < 4096 else 2 if count < 32768 else 8
    reader = Reader(data)
    states = [reader.u32() for _ in range(lanes)]
    symbols, begins, at = [], {}, 0
    for symbol in sorted(table):
        begins[symbol] = at
        symbols += [symbol] * table[symbol]
        at += table[symbol]
    out = bytearray(count)
    for i in range(count):
        x = states[i % lanes]
        place = x % total
        symbol = symbols[place]
        x = table[symbol] * (x // total) + place - begins[symbol]
        if x < 1 << 16:
            x = x << 16 | int.from_bytes(reader.take(2), "little")
        states[i % lanes] = x
        out[i] = symbol
    assert states == [1 << 16] * lanes and reader.at == len(data)
    return bytes(out)


class Context:
    def __init__(self, share=32768):
        self.ones = share * 128 // 65536 + 1
        self.zeros = 129 - self.ones

    def probability(self):
        return min(max((self.ones << 12) // (self.ones + self.zeros), 1), 4095)

    def learn(self, one):
        if one:
            self.ones += 16
        else:
            self.zeros += 16
        if self.ones + self.zeros >= 65536:
            self.ones, self.zeros = (self.ones + 1) // 2, (self.zeros + 1) // 2


class RangeDecoder:
    def __init__(self, data):
        self.reader = Reader(data)
        self.range, self.code = 0xFFFFFFFF, int.from_bytes(self.reader.take(4), "big")

    def get(self, context):
        bound = (self.range >> 12) * context.probability()
        one = self.code < bound
        if one:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | self.reader.byte()
        context.learn(one)
        return one

    def require_end(self):
        assert self.code == 0 and self.reader.at == len(self.reader.data)


def adaptive(data, count):
    center, decoder = data[0], RangeDecoder(data[1:])
    contexts, out = {}, bytearray(count)

    def ask(*key):
        return decoder.get(contexts.setdefault(key, Context()))

    for i in range(count):
        width = 0
        while width < 8 and ask("width", width):
            width += 1
        value = 0
        if width:
            negative, value = ask("sign", width), 1
            for _ in range(width - 1):
                value = 2 * value + ask("bit", width, value)
            value = -value if negative else value
        out[i] = (value + center) % 256
    decoder.require_end()
    return bytes(out)


def gap_flags(data, count):
    reader = Reader(data)
    escape = (1 << reader.byte()) - 1
    num_gaps = reader.varint()
    flags, at = [False] * count, 0
    for gap in symbols(reader.rest(), num_gaps):
        at += gap
        if gap != escape:
            flags[at] = True
            at += 1
    return flags


def context_flags(data, count, num_set, row_length):
    decoder, contexts = RangeDecoder(data), {}
    share = (num_set << 16) // count
    flags, columns = [False] * count, [0] * row_length
    row_set = before = found = 0

    def bucket(num, seen):
        rate = ((seen + 4) << 20) // ((num << 16) + 4 * share + 1)
        width = rate.bit_length()
        half = 1 if width > 4 and rate >> (width - 5) & 8 else 0
        return min(max(2 * (width - 5) + half, 0), 15)

    for i in range(count):
        if found == num_set:
            break
        row, column = divmod(i, row_length)
        if column == 0:
            row_set = 0
        key = bucket(row_set, column), bucket(columns[column], row), before
        flag = decoder.get(contexts.setdefault(key, Context(min(share, 65535))))
        flags[i] = flag
        row_set += flag
        columns[column] += flag
        found += flag
        before = (before << 1 | flag) & 3
    decoder.require_end()
    return flags


def sparse(kind, data, count):
    reader = Reader(data)
    zero, layout, num_set = reader.byte(), reader.varint(), reader.varint()
    positions = reader.take(reader.varint())
    columns, is_transposed = layout >> 1, layout & 1
    rows = count // columns
    flags = gap_flags(positions, count) if kind == 5 else context_flags(positions, count, num_set, rows if is_transposed else columns)
    values = iter(symbols(reader.rest(), num_set))
    out = bytearray([zero]) * count
    for i, flag in enumerate(flags):
        if flag:
            out[i % rows * columns + i // rows if is_transposed else i] = next(values)
    return bytes(out)


def symbols(data, count):
    kind, data = data[0], data[1:]
    if kind == 0:
        assert len(data) == count
        return data
    if kind == 1:
        return zstd(data, count)
    if kind in (2, 3):
        reader = Reader(data)
        table, total = explicit_table(reader) if kind == 2 else shape_table(reader)
        return rans(reader.rest(), table, total, count)
    if kind == 4:
        return adaptive(data, count)
    assert kind in (5, 6)
    return sparse(kind, data, count)


def planes(kind, reader, count):
    width = reader.byte()
    out = bytearray(count)
    for i in range(width):
        out[i::width] = symbols(reader.take(reader.varint()), count // width)
    if kind == 4:
        for i in range(0, count, width):
            value = int.from_bytes(out[i : i + width], "little")
            out[i : i + width] = (value >> 1 | (value & 1) << (8 * width - 1)).to_bytes(width, "little")
    return bytes(out)


def stream(data, count):
    reader = Reader(data)
    kind = reader.byte()
    if kind == 0:
        return symbols(reader.rest(), count)
    if kind == 1:
        nibbles = symbols(reader.rest(), 2 * count)
        return bytes(nibbles[2 * i] | nibbles[2 * i + 1] << 4 for i in range(count))
    if kind == 2:
        width, colors = reader.byte(), reader.byte() + 1
        palette = stream(reader.take(reader.varint()), colors * width)
        return b"".join(palette[i * width : i * width + width] for i in symbols(reader.rest(), count // width))
    assert kind in (3, 4)
    out = planes(kind, reader, count)
    assert reader.at == len(data)
    return out


def read(archive):
    """Model bytes, {side file: bytes}, and what every byte of the archive is: {part: bytes}."""
    reader = Reader(archive)
    assert reader.take(8) == MAGIC and reader.byte() == 1
    length, checksum = reader.u32(), reader.u32()
    raw_index = reader.take(length)
    assert zlib.crc32(raw_index) == checksum
    index = Reader(raw_index)
    digest, model_bytes = index.take(32), index.varint()
    files = [(index.take(index.varint()).decode(), index.varint()) for _ in range(index.varint())]
    heads = [(index.varint(), index.varint(), index.u32()) for _ in range(index.varint())]
    places = [(index.varint(), index.varint()) for _ in range(index.varint())]
    assert index.at == length
    counted = {"head": 17, "index": length, "graph": heads[0][1], "tensors": sum(coded for _, coded, _ in heads[1:])}
    parts = []
    for size, coded, expected in heads:
        data = reader.take(coded)
        assert zlib.crc32(data) == expected
        parts.append(stream(data, size))
        assert len(parts[-1]) == size
    assert reader.at == len(archive) == sum(counted.values())
    original, outside = b"", Reader(parts[0])
    for gap, number in places:
        original += outside.take(gap) + parts[number]
    original += outside.rest()
    assert hashlib.sha256(original).digest() == digest
    sides, at = {}, model_bytes
    for name, size in files:
        sides[name] = original[at : at + size]
        at += size
    assert at == len(original)
    return original[:model_bytes], sides, counted
