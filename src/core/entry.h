/*
 * entry.h - the bytes of one payload, the same in memory and in a file.
 *
 *     +----------+----------+------+------+
 *     | name_len | data_len | name | data |       a payload that lasts as long as its session
 *     +----------+----------+------+------+
 *
 *     +---+---------+----------+----------+------+------+
 *     | 0 | ends_at | name_len | data_len | name | data |       one with a life of its own
 *     +---+---------+----------+----------+------+------+
 *       1      6
 *
 * A length is a number of one to nine bytes, as few as can be: seven bits in each, the lowest
 * first, and 128 added to all but the last (unsigned LEB128 of DWARF 5, 7.6). A name is never
 * empty, so that a first byte of 0 is free to say that the payload ends: in unix ms, the lowest
 * byte first. An entry has no place of its own: those who hold one see to the bytes. Nearly all here
 * is inline, since each read of a payload passes through.
 */
#ifndef SESSIONGATE_ENTRY_H
#define SESSIONGATE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A payload, seen where it lies: good until what holds it changes. */
struct payload {
    const uint8_t *name, *data;
    size_t name_len, data_len;
    int64_t ends_at; /* unix ms, up to PAYLOAD_ENDS_AT_MAX; 0: as long as its session */
};

#define PAYLOAD_ENDS_AT_MAX ((INT64_C(1) << 48) - 1)

#define NUMBER_MAX 9 /* bytes, of a number below 2^63 */

/* How many bytes a number takes: most are lengths that take one. */
static inline size_t number_size(uint64_t value) {
    if (value < 128) return 1;
    return (size_t)(64 - __builtin_clzll(value) + 6) / 7;
}

/* Writes a number, and returns where it ends. */
static inline uint8_t *number_write(uint8_t *at, uint64_t value) {
    for (; value > 127; value >>= 7) *at++ = (uint8_t)(value | 128);
    *at++ = (uint8_t)value;
    return at;
}

/* Reads a number that number_write wrote, and returns where it ends. */
static inline const uint8_t *number_read(const uint8_t *at, size_t *number) {
    *number = *at & 127;
    for (unsigned shift = 7; *at++ & 128; shift += 7) *number |= (size_t)(*at & 127) << shift;
    return at;
}

#define ENTRY_LIFE 7 /* bytes that a life of its own takes */

/* The life that an entry begins with: when it ends, 0 for none. */
static inline int64_t entry_ends_at(const uint8_t *entry) {
    if (*entry != 0) return 0;
    int64_t ends_at = 0;
    for (unsigned i = 1; i < ENTRY_LIFE; i++) ends_at |= (int64_t)entry[i] << (8 * (i - 1));
    return ends_at;
}

/* The size of the entry that a payload takes. */
static inline size_t entry_size(const struct payload *payload) {
    return (payload->ends_at ? ENTRY_LIFE : 0) + number_size(payload->name_len) +
           number_size(payload->data_len) + payload->name_len + payload->data_len;
}

static inline void entry_write(uint8_t *at, const struct payload *payload) {
    if (__builtin_expect(payload->ends_at != 0, 0)) {
        *at++ = 0;
        for (unsigned i = 1; i < ENTRY_LIFE; i++)
            *at++ = (uint8_t)(payload->ends_at >> (8 * (i - 1)));
    }
    at = number_write(at, payload->name_len);
    at = number_write(at, payload->data_len);
    memcpy(at, payload->name, payload->name_len);
    memcpy(at + payload->name_len, payload->data, payload->data_len);
}

/* Reads an entry, one that begins with a life or with a name of 128 bytes or more, and any. */
void entry_read_rare(const uint8_t *entry, struct payload *payload);

static inline void entry_read(const uint8_t *entry, struct payload *payload) {
    size_t name_len = *entry;
    if (__builtin_expect(name_len - 1 > 126, 0)) {
        entry_read_rare(entry, payload);
        return;
    }
    payload->ends_at = 0;
    payload->name_len = name_len;
    payload->name = number_read(entry + 1, &payload->data_len);
    payload->data = payload->name + name_len;
}

static inline struct payload entry_payload(const uint8_t *entry) {
    struct payload payload;
    entry_read(entry, &payload);
    return payload;
}

/* The size of an entry that holds this payload, as entry_payload found it. */
static inline size_t entry_size_with(const uint8_t *entry, const struct payload *payload) {
    return (size_t)(payload->data + payload->data_len - entry);
}

static inline size_t entry_size_at(const uint8_t *entry) {
    struct payload payload = entry_payload(entry);
    return entry_size_with(entry, &payload);
}

static inline bool payload_is_named(const struct payload *payload, const void *name,
                                    size_t name_len) {
    return payload->name_len == name_len && memcmp(payload->name, name, name_len) == 0;
}

/* Whether its data are these bytes. Of as many bytes all are looked at, so that the time tells
 * whether the lengths differ, and nothing else; by words, since libsodium's comparison would take
 * 18 ms for 8 MB. */
static inline bool payload_has_data(const struct payload *payload, const void *data,
                                    size_t data_len) {
    if (payload->data_len != data_len) return false;
    const uint8_t *a = payload->data, *b = data;
    uint64_t differs = 0, one, other;
    for (; data_len >= sizeof one; a += sizeof one, b += sizeof one, data_len -= sizeof one) {
        memcpy(&one, a, sizeof one);
        memcpy(&other, b, sizeof other);
        differs |= one ^ other;
    }
    while (data_len-- > 0) differs |= (uint64_t)(*a++ ^ *b++);
    return differs == 0;
}

/* Whether its time is over. */
static inline bool payload_is_over(const struct payload *payload, int64_t now_ms) {
    return payload->ends_at && payload->ends_at <= now_ms;
}

/* Whether a comes before b of those that end: in the order of their end, and of their names where
 * that is the same: bytes as numbers, a name before those that it begins. Both have a life. */
static inline bool payload_ends_before(const struct payload *a, const struct payload *b) {
    if (a->ends_at != b->ends_at) return a->ends_at < b->ends_at;
    int order = memcmp(a->name, b->name, a->name_len < b->name_len ? a->name_len : b->name_len);
    return order != 0 ? order < 0 : a->name_len < b->name_len;
}

#endif
