/*
 * entry.h - the bytes of one payload, the same in memory and in a file.
 *
 *     +----------+----------+------+------+
 *     | name_len | data_len | name | data |
 *     +----------+----------+------+------+
 *
 * A length is a number of one to nine bytes, as few as can be: seven bits in each, the lowest
 * first, and 128 added to all but the last (unsigned LEB128 of DWARF 5, 7.6). An entry has no place
 * of its own: those who hold one see to the bytes. All here is inline, since each read of a payload
 * passes through.
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
};

#define NUMBER_MAX 9 /* bytes, of a number below 2^63 */

/* How many bytes a number takes. */
static inline size_t number_size(uint64_t value) {
    return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
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

/* The size of the entry that a payload of these lengths takes. */
static inline size_t entry_size(size_t name_len, size_t data_len) {
    return number_size(name_len) + number_size(data_len) + name_len + data_len;
}

static inline void entry_write(uint8_t *at, const struct payload *payload) {
    at = number_write(at, payload->name_len);
    at = number_write(at, payload->data_len);
    memcpy(at, payload->name, payload->name_len);
    memcpy(at + payload->name_len, payload->data, payload->data_len);
}

static inline struct payload entry_payload(const uint8_t *entry) {
    struct payload payload;
    payload.name = number_read(number_read(entry, &payload.name_len), &payload.data_len);
    payload.data = payload.name + payload.name_len;
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

#endif
