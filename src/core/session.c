/*
 * session.c - the payloads of a session: a few in one block, many in a hash table.
 *
 *     session                  packed
 *     +--------------------+   +---------------------------+---------------------------+---
 *     | verified, times .. | .>| lens | name | data        | lens | name | data        | ...
 *     | packed or table ---+-' +---------------------------+---------------------------+---
 *     +--------------------+
 *                              table                   node                          node
 *                              +-----------------+     +------+---------------+     +------+--
 *                          or  | counts | chains +--.->| next | lens name data|  .->| next | ...
 *                              +-----------------+  |  +-|----+---------------+  |  +------+--
 *                                                   '-   '-----------------------'
 *
 * A payload is an entry of bytes, the same in memory and in a file (session.h). Nearly all sessions hold
 * a few small ones: those are one block in order of arrival, and no hash is ever computed. A session
 * that outgrows it has a hash table with chains from then on, until it is empty. The table grows and
 * shrinks by at most two buckets a change (W. Litwin, "Linear hashing", VLDB 1980), so that no single
 * call pays for moving all payloads of a large session.
 *
 * What must stay true of a table:
 *   - it has a payload; with n buckets and m the smallest power of two >= n, a payload's bucket is hash
 *     mod m, or hash mod m/2 when that is not below n; there is room for m chains;
 *   - names are hashed under a key of this process: clients cannot choose names that collide.
 */
#include "session.h"

#include <string.h>

#include "memory.h"
#include "secret.h"

/* Up to here a block is looked through, and moved when a length changes, about as fast as a table is
 * searched; and it is smaller: 112 bytes for one payload of 100, where a table and its node take 160. */
#define PACKED_PAYLOADS 16
#define PACKED_MAX 4096

struct node {
    struct node *next;
    uint8_t entry[];
};

_Static_assert(sizeof(struct session) == 48, "a session fills a block of the allocator");

/*
 * Numbers and entries.
 */

#define NUMBER_MAX 9 /* bytes, of a number below 2^63 */

static size_t number_size(uint64_t value) {
    return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
}

static uint8_t *write_number(uint8_t *at, uint64_t value) {
    for (; value > 127; value >>= 7) *at++ = (uint8_t)(value | 128);
    *at++ = (uint8_t)value;
    return at;
}

/* A number that write_number wrote. */
static inline const uint8_t *number_at(const uint8_t *at, size_t *number) {
    *number = *at & 127;
    for (unsigned shift = 7; *at++ & 128; shift += 7) *number |= (size_t)(*at & 127) << shift;
    return at;
}

static size_t entry_size(size_t name_len, size_t data_len) {
    return number_size(name_len) + number_size(data_len) + name_len + data_len;
}

static inline void write_entry(uint8_t *at, const void *name, size_t name_len, const void *data,
                               size_t data_len) {
    at = write_number(at, name_len);
    at = write_number(at, data_len);
    memcpy(at, name, name_len);
    memcpy(at + name_len, data, data_len);
}

static inline struct payload payload_at(const uint8_t *entry) {
    struct payload payload;
    payload.name = number_at(number_at(entry, &payload.name_len), &payload.data_len);
    payload.data = payload.name + payload.name_len;
    return payload;
}

/* The size of an entry that holds this payload. */
static inline size_t size_with(const uint8_t *entry, const struct payload *payload) {
    return (size_t)(payload->data + payload->data_len - entry);
}

static size_t size_at(const uint8_t *entry) {
    struct payload payload = payload_at(entry);
    return size_with(entry, &payload);
}

static inline bool is_named(const struct payload *payload, const void *name, size_t name_len) {
    return payload->name_len == name_len && memcmp(payload->name, name, name_len) == 0;
}

/*
 * Packed payloads.
 */

static bool is_packed(const struct session *session) {
    return session->packed_payloads > 0 || !session->table;
}

/* Finds where the payload of that name begins in the block, and what it is; the end, and false, when
 * there is none. */
static inline bool find_packed(const struct session *session, const void *name, size_t name_len,
                               size_t *at, struct payload *payload) {
    for (*at = 0; *at < session->packed_len; *at += size_with(session->packed + *at, payload)) {
        *payload = payload_at(session->packed + *at);
        if (is_named(payload, name, name_len)) return true;
    }
    return false;
}

/* Makes the entry at a place of the block, or none at its end, one of another size, and returns it. What
 * it holds is the caller's to write. */
static inline uint8_t *resize_packed(struct session *session, size_t at, size_t old_size,
                                     size_t size) {
    if (size == old_size) return session->packed + at;
    size_t end = at + old_size, len = session->packed_len + size - old_size;
    if (size > old_size) session->packed = memory.realloc(session->packed, len);
    memmove(session->packed + at + size, session->packed + end, session->packed_len - end);
    if (size < old_size) session->packed = memory.realloc(session->packed, len);
    session->packed_len = (uint16_t)len;
    return session->packed + at;
}

static void delete_packed(struct session *session, size_t at) {
    if (--session->packed_payloads > 0) {
        resize_packed(session, at, size_at(session->packed + at), 0);
        return;
    }
    memory.free(session->packed);
    session->packed = NULL;
    session->packed_len = 0;
}

/*
 * Payloads in a table.
 */

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static size_t table_size(uint32_t room) {
    return sizeof(struct table) + room * sizeof(struct node *);
}

static uint32_t bucket_of(const struct table *table, const void *name, size_t name_len) {
    if (table->buckets == 1) return 0;
    uint32_t hash = (uint32_t)secret_hash(name, name_len);
    uint32_t m = power_of_two_from(table->buckets);
    uint32_t bucket = hash & (m - 1);
    return bucket < table->buckets ? bucket : bucket & (m / 2 - 1);
}

/* Where the payload of that name is linked, or where it would be: at the end of its chain. */
static struct node **find_node(struct table *table, const void *name, size_t name_len) {
    struct node **link = &table->chains[bucket_of(table, name, name_len)];
    for (; *link; link = &(*link)->next) {
        struct payload payload = payload_at((*link)->entry);
        if (is_named(&payload, name, name_len)) break;
    }
    return link;
}

/* Adds a bucket: the payloads of the one it splits off from that now belong there move over. */
static void split(struct session *session) {
    struct table *table = session->table;
    uint32_t added = table->buckets;
    if (added == power_of_two_from(added))
        session->table = table = memory.realloc(table, table_size(2 * added));
    table->chains[added] = NULL;
    table->buckets++;

    struct node **from = &table->chains[added - power_of_two_from(added + 1) / 2];
    struct node **to = &table->chains[added];
    while (*from) {
        struct node *node = *from;
        struct payload payload = payload_at(node->entry);
        if (bucket_of(table, payload.name, payload.name_len) == added) {
            *from = node->next;
            node->next = NULL;
            *to = node;
            to = &node->next;
        } else {
            from = &node->next;
        }
    }
}

/* Takes the last bucket away: its payloads go back to the one that it was split off from. */
static void merge(struct session *session) {
    struct table *table = session->table;
    uint32_t removed = table->buckets - 1;
    struct node **end = &table->chains[removed - power_of_two_from(removed + 1) / 2];
    while (*end) end = &(*end)->next;
    *end = table->chains[removed];
    table->buckets--;
    if (table->buckets == power_of_two_from(table->buckets))
        session->table = memory.realloc(table, table_size(table->buckets));
}

static bool put_into_table(struct session *session, const void *name, size_t name_len,
                           const void *data, size_t data_len) {
    struct table *table = session->table;
    struct node **link = find_node(table, name, name_len), *node = *link;
    size_t size = entry_size(name_len, data_len);
    bool is_new = !node;
    if (is_new) {
        node = memory.alloc(sizeof *node + size);
        node->next = NULL;
        table->payloads++;
    } else {
        struct payload old = payload_at(node->entry);
        size_t old_size = size_with(node->entry, &old);
        table->payload_bytes -= old.name_len + old.data_len;
        table->entry_bytes -= old_size;
        if (size != old_size) node = memory.realloc(node, sizeof *node + size);
    }
    write_entry(node->entry, name, name_len, data, data_len);
    table->payload_bytes += name_len + data_len;
    table->entry_bytes += size;
    *link = node;

    for (int i = 0; i < 2 && session->table->buckets < session->table->payloads; i++)
        split(session);
    return is_new;
}

static void delete_from_table(struct session *session, struct node **link) {
    struct table *table = session->table;
    struct node *node = *link;
    struct payload payload = payload_at(node->entry);
    *link = node->next;
    table->payloads--;
    table->payload_bytes -= payload.name_len + payload.data_len;
    table->entry_bytes -= size_with(node->entry, &payload);
    memory.free(node);

    if (table->payloads == 0) {
        memory.free(table);
        session->table = NULL;
        return;
    }
    for (int i = 0; i < 2 && session->table->buckets / 2 > session->table->payloads; i++)
        merge(session);
}

static void move_into_table(struct session *session) {
    uint8_t *packed = session->packed;
    size_t packed_len = session->packed_len;
    session->packed_payloads = session->packed_len = 0;
    session->table = memory.alloc(table_size(1));
    *session->table = (struct table){.buckets = 1};
    session->table->chains[0] = NULL;
    for (size_t at = 0; at < packed_len; at += size_at(packed + at)) {
        struct payload payload = payload_at(packed + at);
        put_into_table(session, payload.name, payload.name_len, payload.data, payload.data_len);
    }
    memory.free(packed);
}

static void free_table(struct table *table) {
    for (uint32_t bucket = 0; bucket < table->buckets; bucket++) {
        struct node *node = table->chains[bucket];
        while (node) {
            struct node *next = node->next;
            memory.free(node);
            node = next;
        }
    }
    memory.free(table);
}

/*
 * Either.
 */

struct session *session_create(void) {
    struct session *session = memory.alloc(sizeof *session);
    *session = (struct session){0};
    return session;
}

void session_free(struct session *session) {
    if (!session) return;
    if (is_packed(session))
        memory.free(session->packed);
    else
        free_table(session->table);
    memory.free(session);
}

struct session *session_copy(const struct session *session) {
    struct session *copy = session_create();
    copy->times = session->times;
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload))
        session_put(copy, payload.name, payload.name_len, payload.data, payload.data_len);
    return copy;
}

uint32_t session_payloads(const struct session *session) {
    return is_packed(session) ? session->packed_payloads : session->table->payloads;
}

size_t session_payload_bytes(const struct session *session) {
    if (!is_packed(session)) return session->table->payload_bytes;
    size_t bytes = 0;
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload)) bytes += payload.name_len + payload.data_len;
    return bytes;
}

bool session_get(const struct session *session, const void *name, size_t name_len,
                 struct payload *payload) {
    size_t at;
    if (is_packed(session)) return find_packed(session, name, name_len, &at, payload);
    const struct node *node = *find_node(session->table, name, name_len);
    if (node) *payload = payload_at(node->entry);
    return node != NULL;
}

bool session_put(struct session *session, const void *name, size_t name_len, const void *data,
                 size_t data_len) {
    if (!is_packed(session)) return put_into_table(session, name, name_len, data, data_len);
    size_t at;
    struct payload old;
    bool is_new = !find_packed(session, name, name_len, &at, &old);
    size_t old_size = is_new ? 0 : size_with(session->packed + at, &old);
    size_t size = entry_size(name_len, data_len);
    if (session->packed_payloads + is_new > PACKED_PAYLOADS ||
        session->packed_len - old_size + size > PACKED_MAX) {
        move_into_table(session);
        return put_into_table(session, name, name_len, data, data_len);
    }
    write_entry(resize_packed(session, at, old_size, size), name, name_len, data, data_len);
    session->packed_payloads = (uint16_t)(session->packed_payloads + is_new);
    return is_new;
}

bool session_delete(struct session *session, const void *name, size_t name_len) {
    if (is_packed(session)) {
        size_t at;
        struct payload payload;
        if (!find_packed(session, name, name_len, &at, &payload)) return false;
        delete_packed(session, at);
    } else {
        struct node **link = find_node(session->table, name, name_len);
        if (!*link) return false;
        delete_from_table(session, link);
    }
    return true;
}

static const uint8_t *next_entry(const struct session *session, struct session_cursor *cursor) {
    if (is_packed(session)) {
        if (cursor->place == session->packed_len) return NULL;
        const uint8_t *entry = session->packed + cursor->place;
        cursor->place += size_at(entry);
        return entry;
    }
    const struct table *table = session->table;
    const struct node *node = cursor->node ? cursor->node->next : NULL;
    while (!node && cursor->place < table->buckets) node = table->chains[cursor->place++];
    cursor->node = node;
    return node ? node->entry : NULL;
}

bool session_next(const struct session *session, struct session_cursor *cursor,
                  struct payload *payload) {
    const uint8_t *entry = next_entry(session, cursor);
    if (entry) *payload = payload_at(entry);
    return entry != NULL;
}

/* The bytes of all entries together. */
static size_t entry_bytes(const struct session *session) {
    return is_packed(session) ? session->packed_len : session->table->entry_bytes;
}

size_t session_memory(const struct session *session) {
    size_t bytes = sizeof *session + entry_bytes(session);
    if (is_packed(session)) return bytes;
    return bytes + table_size(power_of_two_from(session->table->buckets)) +
           session->table->payloads * sizeof(struct node);
}

struct session *session_move_self(struct session *session, session_mover move, void *context) {
    struct session *moved = move(context, session);
    if (moved) session = moved;
    void *block = session->packed ? move(context, session->packed) : NULL;
    if (block) session->packed = block;
    return session;
}

uint32_t session_buckets(const struct session *session) {
    return is_packed(session) ? 0 : session->table->buckets;
}

void session_move_bucket(struct session *session, uint32_t bucket, session_mover move,
                         void *context) {
    struct node **link = &session->table->chains[bucket];
    while (*link) {
        struct node *moved = move(context, *link);
        if (moved) *link = moved;
        link = &(*link)->next;
    }
}

/*
 * Chunks.
 */

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
    const uint8_t *entry;
    while (used < SESSION_CHUNK && (entry = next_entry(session, cursor))) {
        size_t size = size_at(entry);
        reserve(buffer, capacity, used, size);
        memcpy(*buffer + used, entry, size);
        used += size;
    }
    return used;
}

size_t session_pack_first(const struct session *session, struct session_cursor *cursor,
                          uint8_t **buffer, size_t *capacity) {
    size_t all = 4 * NUMBER_MAX + entry_bytes(session);
    reserve(buffer, capacity, 0, all < SESSION_CHUNK ? all : SESSION_CHUNK);
    uint8_t *at = *buffer;
    at = write_number(at, (uint64_t)session->times.created_ms);
    at = write_number(at, (uint64_t)session->times.deadline_ms);
    at = write_number(at, session->times.ttl);
    at = write_number(at, session_payloads(session));
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
        if (session_payloads(session) == SESSION_PAYLOADS_MAX ||
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
