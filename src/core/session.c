/*
 * session.c - the payloads of a session: a few in one block, many in a table.
 *
 *     session
 *     +----------+-------+-----------------------+-------------------+
 *     | verified | times | packed: counts, block | the owner's label |
 *     +----------+-------+-----------------|-----+-------------------+
 *                                          '-> entries, one behind the other    packed.h
 *                          spilled: 0, table
 *                                          '-> a hash table with chains         table.h
 *
 * Nearly all sessions hold a few small payloads, which are packed. One that outgrows the block has
 * a table from then on, until it is empty.
 */
#include "session.h"

#include "memory.h"

_Static_assert(sizeof(struct session) == 48, "a session fills a block of the allocator");
_Static_assert(offsetof(struct session, packed.block) % sizeof(void *) == 0,
               "its pointer is aligned");
_Static_assert(offsetof(struct session, packed.block) == offsetof(struct session, spilled.table),
               "either block is found at one place");

struct session *session_create(void) {
    struct session *session = memory.alloc(sizeof *session);
    memset(session, 0, sizeof *session);
    return session;
}

struct session *session_own(struct session *session, const char *owner, size_t owner_len) {
    session = memory.realloc(session, sizeof *session + owner_len);
    session->owner_len = (uint8_t)owner_len;
    memcpy(session->owner, owner, owner_len);
    return session;
}

bool session_is_of(const struct session *session, const char *owner, size_t owner_len) {
    return session->owner_len == owner_len && memcmp(session->owner, owner, owner_len) == 0;
}

void session_free(struct session *session) {
    if (!session) return;
    if (session_is_packed(session))
        memory.free(session->packed.block);
    else
        table_free(session->spilled.table);
    memory.free(session);
}

struct session *session_copy(const struct session *session) {
    struct session *copy = session_create();
    if (session->owner_len > 0) copy = session_own(copy, session->owner, session->owner_len);
    copy->times = session->times;
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload)) session_put(copy, &payload);
    return copy;
}

uint32_t session_payloads(const struct session *session) {
    return session_is_packed(session) ? session->packed.payloads : session->spilled.table->payloads;
}

size_t session_payload_bytes(const struct session *session) {
    if (!session_is_packed(session)) return session->spilled.table->payload_bytes;
    size_t bytes = 0;
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload)) bytes += payload.name_len + payload.data_len;
    return bytes;
}

bool session_get(const struct session *session, const void *name, size_t name_len,
                 struct payload *payload) {
    size_t at;
    return session_is_packed(session) ? packed_find(&session->packed, name, name_len, &at, payload)
                                      : table_find(session->spilled.table, name, name_len, payload);
}

/* Puts the payloads of the block into a table. */
static void spill_into_table(struct session *session) {
    struct packed packed = session->packed;
    struct table *table = NULL;
    for (size_t at = 0; at < packed.len; at += entry_size_at(packed.block + at)) {
        struct payload payload = entry_payload(packed.block + at);
        table_put(&table, &payload);
    }
    memory.free(packed.block);
    session->spilled = (struct spilled){.table = table};
}

/* The table may move, and has no other owner than the session. */
static bool put_into_table(struct session *session, const struct payload *payload) {
    struct table *table = session->spilled.table;
    bool is_new = table_put(&table, payload);
    session->spilled.table = table;
    return is_new;
}

bool session_put(struct session *session, const struct payload *payload) {
    if (session_is_packed(session)) {
        size_t at;
        struct payload old;
        bool is_new = !packed_find(&session->packed, payload->name, payload->name_len, &at, &old);
        if (packed_put(&session->packed, at, is_new ? NULL : &old, payload)) return is_new;
        spill_into_table(session);
    }
    return put_into_table(session, payload);
}

bool session_delete(struct session *session, const void *name, size_t name_len) {
    if (session_is_packed(session)) {
        size_t at;
        struct payload payload;
        if (!packed_find(&session->packed, name, name_len, &at, &payload)) return false;
        packed_delete(&session->packed, at);
        return true;
    }
    struct table *table = session->spilled.table;
    bool was_there = table_delete(&table, name, name_len);
    session->spilled.table = table;
    return was_there;
}

/* The payloads of a block that are over: a few, so that it is walked through. */
static struct over packed_over(const struct session *session, int64_t now_ms, uint32_t at_most) {
    struct over over = {0};
    struct session_cursor cursor = {0};
    struct payload payload;
    while (over.payloads < at_most && session_next(session, &cursor, &payload)) {
        if (!payload_is_over(&payload, now_ms)) continue;
        over.payloads++;
        over.bytes += payload.name_len + payload.data_len;
    }
    return over;
}

struct over session_over(const struct session *session, int64_t now_ms, uint32_t at_most) {
    if (!session_has_lives(session)) return (struct over){0};
    return session_is_packed(session) ? packed_over(session, now_ms, at_most)
                                      : lives_over(session->spilled.table->lives, now_ms, at_most);
}

/* The payload that ends first, of a block where some have a life. */
static struct payload packed_first(const struct session *session) {
    struct payload first = {0};
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload))
        if (payload.ends_at && (!first.ends_at || payload_ends_before(&payload, &first)))
            first = payload;
    return first;
}

static struct payload first_to_end(const struct session *session) {
    return session_is_packed(session)
               ? packed_first(session)
               : entry_payload(lives_first(session->spilled.table->lives)->entry);
}

uint32_t session_sweep(struct session *session, int64_t now_ms, uint32_t at_most) {
    uint32_t removed = 0;
    for (; removed < at_most && session_has_lives(session); removed++) {
        struct payload first = first_to_end(session);
        if (!payload_is_over(&first, now_ms)) break;
        session_delete(session, first.name, first.name_len);
    }
    return removed;
}

const uint8_t *session_next_entry(const struct session *session, struct session_cursor *cursor) {
    if (!session_is_packed(session))
        return table_next(session->spilled.table, &cursor->place, &cursor->node);
    if (cursor->place == session->packed.len) return NULL;
    const uint8_t *entry = session->packed.block + cursor->place;
    cursor->place += entry_size_at(entry);
    return entry;
}

bool session_next(const struct session *session, struct session_cursor *cursor,
                  struct payload *payload) {
    const uint8_t *entry = session_next_entry(session, cursor);
    if (entry) *payload = entry_payload(entry);
    return entry != NULL;
}

size_t session_entry_bytes(const struct session *session) {
    return session_is_packed(session) ? session->packed.len : session->spilled.table->entry_bytes;
}

size_t session_memory(const struct session *session) {
    return sizeof *session + session->owner_len +
           (session_is_packed(session) ? session->packed.len
                                       : table_memory(session->spilled.table));
}

struct session *session_move_self(struct session *session, memory_mover move, void *context) {
    struct session *moved = move(context, session);
    if (moved) session = moved;
    if (!session_is_packed(session)) {
        session->spilled.table = table_move_self(session->spilled.table, move, context);
    } else if (session->packed.block) {
        uint8_t *block = move(context, session->packed.block);
        if (block) session->packed.block = block;
    }
    return session;
}

uint32_t session_buckets(const struct session *session) {
    return session_is_packed(session) ? 0 : session->spilled.table->buckets;
}

void session_move_bucket(struct session *session, uint32_t bucket, memory_mover move,
                         void *context) {
    table_move_bucket(session->spilled.table, bucket, move, context);
}
