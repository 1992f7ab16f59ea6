/*
 * session.c - the payloads of a session: a hash table with chains, grown by linear hashing.
 *
 *     session                      payload                      payload
 *     +----------------------+     +------+------+------+-----+     +------+--
 *     | verified, counts ... |  .->| next | lens | name | data|  .->| next | ...
 *     | chain.only ----------+--'  +-|----+------+------+-----+  |  +------+--
 *     +----------------------+       '---------------------------'
 *
 * Nearly all sessions hold a few payloads: those are one chain in order of arrival, and no hash is
 * ever computed. A session with more has a table of chains, and then grows and shrinks by at most
 * two buckets a change (W. Litwin, "Linear hashing", VLDB 1980), so that no single call pays for
 * moving all payloads of a large session.
 *
 * What must stay true:
 *   - with n buckets and m the smallest power of two >= n, a payload's bucket is hash mod m, or
 *     hash mod m/2 when that is not below n; the table has room for m chains;
 *   - names are hashed under a key of this process: clients cannot choose names that collide.
 */
#include "session.h"

#include <string.h>

#include "memory.h"
#include "secret.h"

/* Up to this many payloads, a chain is looked through faster than a name is hashed. */
#define ONE_CHAIN 8

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static struct payload **bucket_at(struct session *session, uint32_t bucket) {
    return session->buckets == 1 ? &session->chain.only : &session->chain.table[bucket];
}

static uint32_t bucket_of(const struct session *session, const void *name, size_t name_len) {
    if (session->buckets == 1) return 0;
    uint32_t hash = (uint32_t)secret_hash(name, name_len);
    uint32_t m = power_of_two_from(session->buckets);
    uint32_t bucket = hash & (m - 1);
    return bucket < session->buckets ? bucket : bucket & (m / 2 - 1);
}

/* Where the payload of that name is linked, or where it would be: at the end of its chain. */
static struct payload **find(struct session *session, const void *name, size_t name_len) {
    struct payload **link = bucket_at(session, bucket_of(session, name, name_len));
    while (*link && ((*link)->name_len != name_len || memcmp((*link)->bytes, name, name_len) != 0))
        link = &(*link)->next;
    return link;
}

static size_t payload_size(size_t name_len, size_t data_len) {
    return offsetof(struct payload, bytes) + name_len + data_len;
}

/* Adds a bucket: the payloads of the one it splits off from that now belong there move over. */
static void split(struct session *session) {
    uint32_t added = session->buckets;
    if (added == 1) {
        struct payload *only = session->chain.only;
        session->chain.table = memory.alloc(2 * sizeof *session->chain.table);
        session->chain.table[0] = only;
    } else if (added == power_of_two_from(added)) {
        session->chain.table =
            memory.realloc(session->chain.table, 2 * (size_t)added * sizeof *session->chain.table);
    }
    session->chain.table[added] = NULL;
    session->buckets++;

    struct payload **from = &session->chain.table[added - power_of_two_from(added + 1) / 2];
    struct payload **to = &session->chain.table[added];
    while (*from) {
        struct payload *payload = *from;
        if (bucket_of(session, payload->bytes, payload->name_len) == added) {
            *from = payload->next;
            payload->next = NULL;
            *to = payload;
            to = &payload->next;
        } else {
            from = &payload->next;
        }
    }
}

/* Takes the last bucket away: its payloads go back to the one that it was split off from. */
static void merge(struct session *session) {
    uint32_t removed = session->buckets - 1;
    struct payload **end = &session->chain.table[removed - power_of_two_from(removed + 1) / 2];
    while (*end) end = &(*end)->next;
    *end = session->chain.table[removed];
    session->buckets--;

    if (session->buckets == 1) {
        struct payload *only = session->chain.table[0];
        memory.free(session->chain.table);
        session->chain.only = only;
    } else if (session->buckets == power_of_two_from(session->buckets)) {
        session->chain.table =
            memory.realloc(session->chain.table, session->buckets * sizeof *session->chain.table);
    }
}

struct session *session_create(void) {
    struct session *session = memory.alloc(sizeof *session);
    *session = (struct session){.buckets = 1};
    return session;
}

void session_free(struct session *session) {
    if (!session) return;
    for (uint32_t bucket = 0; bucket < session->buckets; bucket++) {
        struct payload *payload = *bucket_at(session, bucket);
        while (payload) {
            struct payload *next = payload->next;
            memory.free(payload);
            payload = next;
        }
    }
    if (session->buckets > 1) memory.free(session->chain.table);
    memory.free(session);
}

struct session *session_copy(const struct session *session) {
    struct session *copy = session_create();
    copy->times = session->times;
    struct session_cursor cursor = {0};
    const struct payload *payload;
    while ((payload = session_next(session, &cursor)))
        session_put(copy, payload_name(payload), payload->name_len, payload_data(payload),
                    payload->data_len);
    return copy;
}

const struct payload *session_get(const struct session *session, const void *name,
                                  size_t name_len) {
    return *find((struct session *)session, name, name_len);
}

bool session_put(struct session *session, const void *name, size_t name_len, const void *data,
                 size_t data_len) {
    struct payload **link = find(session, name, name_len);
    struct payload *payload = *link;
    bool is_new = !payload;
    if (is_new) {
        payload = memory.alloc(payload_size(name_len, data_len));
        payload->next = NULL;
        payload->name_len = (uint32_t)name_len;
        memcpy(payload->bytes, name, name_len);
        session->payloads++;
        session->payload_bytes += name_len;
    } else {
        if (payload->data_len != data_len)
            payload = memory.realloc(payload, payload_size(name_len, data_len));
        session->payload_bytes -= payload->data_len;
    }
    payload->data_len = (uint32_t)data_len;
    memcpy(payload->bytes + name_len, data, data_len);
    session->payload_bytes += data_len;
    *link = payload;

    for (int i = 0; i < 2 && session->payloads > ONE_CHAIN && session->buckets < session->payloads;
         i++)
        split(session);
    return is_new;
}

bool session_delete(struct session *session, const void *name, size_t name_len) {
    struct payload **link = find(session, name, name_len);
    struct payload *payload = *link;
    if (!payload) return false;
    *link = payload->next;
    session->payloads--;
    session->payload_bytes -= payload->name_len + (size_t)payload->data_len;
    memory.free(payload);

    for (int i = 0; i < 2 && session->buckets > 1 && session->buckets / 2 > session->payloads; i++)
        merge(session);
    return true;
}

const struct payload *session_next(const struct session *session, struct session_cursor *cursor) {
    if (cursor->at && cursor->at->next) return cursor->at = cursor->at->next;
    if (cursor->at) cursor->bucket++;
    cursor->at = NULL;
    while (cursor->bucket < session->buckets) {
        cursor->at = *bucket_at((struct session *)session, cursor->bucket);
        if (cursor->at) break;
        cursor->bucket++;
    }
    return cursor->at;
}

size_t session_memory(const struct session *session) {
    size_t table = session->buckets == 1
                       ? 0
                       : power_of_two_from(session->buckets) * sizeof *session->chain.table;
    return sizeof *session + table + session->payloads * offsetof(struct payload, bytes) +
           session->payload_bytes;
}

struct session *session_move_self(struct session *session, session_mover move, void *context) {
    struct session *moved = move(context, session);
    if (moved) session = moved;
    if (session->buckets > 1) {
        struct payload **table = move(context, session->chain.table);
        if (table) session->chain.table = table;
    }
    return session;
}

void session_move_bucket(struct session *session, uint32_t bucket, session_mover move,
                         void *context) {
    struct payload **link = bucket_at(session, bucket);
    while (*link) {
        struct payload *moved = move(context, *link);
        if (moved) *link = moved;
        link = &(*link)->next;
    }
}

#define NUMBER_MAX 9 /* bytes, of a number below 2^63 */

static uint8_t *write_number(uint8_t *at, uint64_t value) {
    for (; value > 127; value >>= 7) *at++ = (uint8_t)(value | 128);
    *at++ = (uint8_t)value;
    return at;
}

/* What of a chunk was not read yet. */
struct rest {
    const uint8_t *at;
    size_t len;
};

static bool read_number(struct rest *rest, uint64_t min, uint64_t max, uint64_t *number) {
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

static void reserve(uint8_t **buffer, size_t *capacity, size_t used, size_t more) {
    if (*capacity >= used + more) return;
    *capacity = 2 * used + more;
    *buffer = memory.realloc(*buffer, *capacity);
}

/* Packs payloads behind the bytes that are in use, and returns how many are then. */
static size_t pack(const struct session *session, struct session_cursor *cursor, uint8_t **buffer,
                   size_t *capacity, size_t used) {
    const struct payload *payload;
    while (used < SESSION_CHUNK && (payload = session_next(session, cursor))) {
        size_t bytes_len = payload->name_len + (size_t)payload->data_len;
        reserve(buffer, capacity, used, 2 * NUMBER_MAX + bytes_len);
        uint8_t *at = *buffer + used;
        at = write_number(at, payload->name_len);
        at = write_number(at, payload->data_len);
        memcpy(at, payload->bytes, bytes_len);
        used = (size_t)(at - *buffer) + bytes_len;
    }
    return used;
}

size_t session_pack_first(const struct session *session, struct session_cursor *cursor,
                          uint8_t **buffer, size_t *capacity) {
    size_t all = (4 + 2 * (size_t)session->payloads) * NUMBER_MAX + session->payload_bytes;
    reserve(buffer, capacity, 0, all < SESSION_CHUNK ? all : SESSION_CHUNK);
    uint8_t *at = *buffer;
    at = write_number(at, (uint64_t)session->times.created_ms);
    at = write_number(at, (uint64_t)session->times.deadline_ms);
    at = write_number(at, session->times.ttl);
    at = write_number(at, session->payloads);
    return pack(session, cursor, buffer, capacity, (size_t)(at - *buffer));
}

size_t session_pack(const struct session *session, struct session_cursor *cursor, uint8_t **buffer,
                    size_t *capacity) {
    return pack(session, cursor, buffer, capacity, 0);
}

static bool unpack(struct session *session, struct rest rest) {
    while (rest.len > 0) {
        uint64_t name_len, data_len;
        if (!read_number(&rest, 1, SESSION_NAME_MAX, &name_len) ||
            !read_number(&rest, 1, SESSION_DATA_MAX, &data_len) || rest.len < name_len + data_len)
            return false;
        const uint8_t *data = rest.at + name_len;
        if (session->payloads == SESSION_PAYLOADS_MAX ||
            !session_put(session, rest.at, name_len, data, data_len))
            return false;
        rest.at = data + data_len;
        rest.len -= name_len + data_len;
    }
    return true;
}

bool session_unpack_first(struct session *session, const uint8_t *chunk, size_t chunk_len,
                          uint32_t *payloads) {
    struct rest rest = {chunk, chunk_len};
    uint64_t created, deadline, ttl, announced;
    if (!read_number(&rest, 0, INT64_MAX, &created) ||
        !read_number(&rest, 0, INT64_MAX, &deadline) || !read_number(&rest, 0, UINT32_MAX, &ttl) ||
        !read_number(&rest, 0, SESSION_PAYLOADS_MAX, &announced))
        return false;
    session->times = (struct session_times){(int64_t)created, (int64_t)deadline, (uint32_t)ttl};
    *payloads = (uint32_t)announced;
    return unpack(session, rest);
}

bool session_unpack(struct session *session, const uint8_t *chunk, size_t chunk_len) {
    return chunk_len > 0 && unpack(session, (struct rest){chunk, chunk_len});
}
