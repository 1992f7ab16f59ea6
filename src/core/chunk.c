/*
 * chunk.c - the chunks of chunk.h, packed and unpacked. What is unpacked is as hostile as a client.
 */
#include "chunk.h"

#include "memory.h"

#define IS_OWNED (UINT32_C(1) << 25) /* above SESSION_PAYLOADS_MAX */

_Static_assert(SESSION_PAYLOADS_MAX < IS_OWNED, "the mark of an owner is no number of payloads");
_Static_assert(CHUNK_PACKED_MAX < CHUNK_BYTES, "a packed session is one chunk");

/* What of a chunk was not read yet. */
struct rest {
    const uint8_t *at;
    size_t len;
};

static bool read_number(struct rest *rest, uint64_t min, uint64_t max, uint64_t *number) {
    if (rest->len > 0 && *rest->at < 128) { /* most are lengths of one byte */
        *number = *rest->at++;
        rest->len--;
        return *number >= min && *number <= max;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < NUMBER_MAX && rest->len > 0; i++) {
        uint8_t byte = *rest->at++;
        rest->len--;
        value |= (uint64_t)(byte & 127) << (7 * i);
        if (byte & 128) continue;
        *number = value;
        bool is_shortest = byte > 0 || i == 0;
        return is_shortest && value >= min && value <= max;
    }
    return false;
}

static void reserve_bytes(uint8_t **buffer, size_t *capacity, size_t used, size_t more) {
    if (*capacity >= used + more) return;
    *capacity = 2 * used + more;
    *buffer = memory.realloc(*buffer, *capacity);
}

/* Packs payloads behind the bytes that are in use, and returns how many are then. */
static size_t pack_entries(const struct session *session, struct session_cursor *cursor,
                           uint8_t **buffer, size_t *capacity, size_t used) {
    const uint8_t *entry;
    while (used < CHUNK_BYTES && (entry = session_next_entry(session, cursor))) {
        size_t size = entry_size_at(entry);
        reserve_bytes(buffer, capacity, used, size);
        memcpy(*buffer + used, entry, size);
        used += size;
    }
    return used;
}

size_t chunk_pack_first(const struct session *session, struct session_cursor *cursor,
                        uint8_t **buffer, size_t *capacity) {
    size_t all = CHUNK_HEAD_MAX + session_entry_bytes(session);
    reserve_bytes(buffer, capacity, 0, all < CHUNK_BYTES ? all : CHUNK_BYTES);
    uint8_t *at = *buffer;
    at = number_write(at, (uint64_t)session->times.created_ms);
    at = number_write(at, (uint64_t)session->times.deadline_ms);
    at = number_write(at, session->times.ttl);
    at = number_write(at, session_payloads(session) | (session->owner_len > 0 ? IS_OWNED : 0));
    if (session->owner_len > 0) {
        at = number_write(at, session->owner_len);
        memcpy(at, session->owner, session->owner_len);
        at += session->owner_len;
    }
    return pack_entries(session, cursor, buffer, capacity, (size_t)(at - *buffer));
}

size_t chunk_pack(const struct session *session, struct session_cursor *cursor, uint8_t **buffer,
                  size_t *capacity) {
    return pack_entries(session, cursor, buffer, capacity, 0);
}

/* Reads the life that an entry may begin with. */
static bool read_life(struct rest *rest, int64_t *ends_at) {
    *ends_at = 0;
    if (rest->len == 0 || *rest->at != 0) return true;
    if (rest->len < ENTRY_LIFE) return false;
    *ends_at = entry_ends_at(rest->at);
    rest->at += ENTRY_LIFE;
    rest->len -= ENTRY_LIFE;
    return *ends_at > 0;
}

static bool read_payload(struct rest *rest, struct payload *payload) {
    uint64_t name_len, data_len;
    if (!read_life(rest, &payload->ends_at) || !read_number(rest, 1, SESSION_NAME_MAX, &name_len) ||
        !read_number(rest, 1, SESSION_DATA_MAX, &data_len) || rest->len < name_len + data_len)
        return false;
    payload->name = rest->at;
    payload->name_len = name_len;
    payload->data = rest->at + name_len;
    payload->data_len = data_len;
    rest->at += name_len + data_len;
    rest->len -= name_len + data_len;
    return true;
}

/* Takes over the entries of a first chunk that fit a block: what was checked in place is copied as
 * it is. Each is searched for among those before it, as in a block that ends there. */
static bool unpack_block(struct packed *packed, struct rest rest, uint32_t at_most) {
    const uint8_t *entries = rest.at;
    struct packed seen = {.block = (uint8_t *)entries};
    while (rest.len > 0) {
        struct payload payload, same;
        size_t at;
        if (seen.payloads == at_most || !read_payload(&rest, &payload) ||
            packed_find(&seen, payload.name, payload.name_len, &at, &same))
            return false;
        seen.payloads++;
        seen.has_lives |= payload.ends_at != 0;
        seen.len = (uint16_t)(rest.at - entries);
    }
    *packed = seen;
    packed->block = memory.alloc(seen.len);
    memcpy(packed->block, entries, seen.len);
    return true;
}

static bool unpack_entries(struct session *session, struct rest rest) {
    struct payload payload;
    while (rest.len > 0)
        if (!read_payload(&rest, &payload) || session_payloads(session) == SESSION_PAYLOADS_MAX ||
            !session_put(session, &payload))
            return false;
    return true;
}

/* Reads the owner of a head that announces one. */
static bool unpack_owner(struct session **session, struct rest *rest) {
    uint64_t len;
    if (!read_number(rest, 1, SESSION_OWNER_MAX, &len) || rest->len < len) return false;
    *session = session_own(*session, (const char *)rest->at, len);
    rest->at += len;
    rest->len -= len;
    return true;
}

bool chunk_unpack_first(struct session **session, const uint8_t *chunk, size_t chunk_len,
                        uint32_t *payloads) {
    struct rest rest = {chunk, chunk_len};
    uint64_t created, deadline, ttl, announced;
    if (!read_number(&rest, 0, INT64_MAX, &created) ||
        !read_number(&rest, 0, INT64_MAX, &deadline) || !read_number(&rest, 0, UINT32_MAX, &ttl) ||
        !read_number(&rest, 0, IS_OWNED | SESSION_PAYLOADS_MAX, &announced))
        return false;
    (*session)->times = (struct session_times){(int64_t)created, (int64_t)deadline, (uint32_t)ttl};
    *payloads = (uint32_t)announced & ~IS_OWNED;
    if (*payloads > SESSION_PAYLOADS_MAX) return false;
    if (announced & IS_OWNED && !unpack_owner(session, &rest)) return false;
    if (*payloads <= PACKED_PAYLOADS && rest.len > 0 && rest.len <= PACKED_BYTES)
        return unpack_block(&(*session)->packed, rest, *payloads);
    return unpack_entries(*session, rest);
}

bool chunk_unpack(struct session *session, const uint8_t *chunk, size_t chunk_len) {
    return chunk_len > 0 && unpack_entries(session, (struct rest){chunk, chunk_len});
}
