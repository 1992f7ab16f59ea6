/*
 * session_support.h - what the tests of sessions share: an allocator that counts, and comparison.
 */
#ifndef SESSIONGATE_TEST_SESSION_SUPPORT_H
#define SESSIONGATE_TEST_SESSION_SUPPORT_H

#include "support.h"

#include "chunk.h"
#include "memory.h"
#include "secret.h"
#include "session.h"

/* What is allocated now, as asked for. */
static struct {
    size_t blocks;
    size_t bytes;
    size_t copied; /* the most that one realloc has moved */
} counted;

/* A counted block begins with its size. */
union counted_block {
    size_t size;
    max_align_t alignment;
};

/* Fresh bytes are no zeros. */
static inline void *counting_alloc(size_t size) {
    union counted_block *block = malloc(sizeof *block + size);
    if (!block) abort();
    block->size = size;
    counted.blocks++;
    counted.bytes += size;
    return memset(block + 1, 0xa5, size);
}

/* Freed bytes are overwritten, so that they are of no more use. */
static inline void counting_free(void *bytes) {
    if (!bytes) return;
    union counted_block *block = (union counted_block *)bytes - 1;
    counted.blocks--;
    counted.bytes -= block->size;
    memset(bytes, 0x5a, block->size);
    free(block);
}

/* A block of the same contents in another place; the old one is freed. */
static inline void *counting_move(void *bytes, size_t size) {
    size_t old_size = ((union counted_block *)bytes - 1)->size;
    void *moved = counting_alloc(size);
    size_t kept = old_size < size ? old_size : size;
    memcpy(moved, bytes, kept);
    if (kept > counted.copied) counted.copied = kept;
    counting_free(bytes);
    return moved;
}

/* Always moves. */
static inline void *counting_realloc(void *bytes, size_t size) {
    return bytes ? counting_move(bytes, size) : counting_alloc(size);
}

/* The set-up of a group of tests of sessions. */
static inline int start_counting(void **state) {
    (void)state;
    memory = (struct memory){counting_alloc, counting_realloc, counting_free};
    return secret_start() ? 0 : -1;
}

/* The tear-down of each test. */
static inline int nothing_is_left(void **state) {
    (void)state;
    if (counted.blocks == 0 && counted.bytes == 0) return 0;
    print_error("%zu blocks with %zu bytes were not freed\n", counted.blocks, counted.bytes);
    counted.blocks = counted.bytes = 0;
    return -1;
}

/* Sets a payload that lasts as long as its session. */
static inline bool put_bytes(struct session *session, const void *name, size_t name_len,
                             const void *data, size_t data_len) {
    return session_put(session, &(struct payload){name, data, name_len, data_len, 0});
}

static inline bool put_text(struct session *session, const char *name, const char *data) {
    return put_bytes(session, name, strlen(name), data, strlen(data));
}

/* The numbers from 0 on as names, and data of 1 to 7 bytes. */
static inline struct session *session_of_numbers(uint32_t payloads) {
    struct session *session = session_create();
    for (uint32_t n = 0; n < payloads; n++)
        assert_true(put_bytes(session, &n, sizeof n, "numbers", 1 + n % 7));
    return session;
}

/* The same, where all but each third end: at instants from 1 to 50, many at the same. */
static inline struct session *session_of_lives(uint32_t payloads) {
    struct session *session = session_create();
    for (uint32_t n = 0; n < payloads; n++) {
        int64_t ends_at = n % 3 ? 1 + (int64_t)(n * UINT32_C(2654435761) % 50) : 0;
        struct payload payload = {(uint8_t *)&n, (const uint8_t *)"numbers", sizeof n, 1 + n % 7,
                                  ends_at};
        assert_true(session_put(session, &payload));
    }
    return session;
}

static inline bool has(const struct session *session, const void *name, size_t name_len) {
    struct payload payload;
    return session_get(session, name, name_len, &payload);
}

static inline void assert_payload(const struct session *session, const void *name, size_t name_len,
                                  const void *data, size_t data_len) {
    struct payload payload;
    assert_true(session_get(session, name, name_len, &payload));
    assert_int_equal(payload.name_len, name_len);
    assert_int_equal(payload.data_len, data_len);
    assert_memory_equal(payload.name, name, name_len);
    assert_memory_equal(payload.data, data, data_len);
}

static inline void assert_text(const struct session *session, const char *name, const char *data) {
    assert_payload(session, name, strlen(name), data, strlen(data));
}

/* That the session is whole: a walk finds as many payloads and bytes as it says, each of a lawful
 * length, and a look-up of each one's name finds that very payload, so no name is there twice. It
 * knows of each payload that ends. */
static inline void assert_whole(const struct session *session) {
    struct session_cursor cursor = {0};
    struct payload payload, found;
    size_t payloads = 0, bytes = 0, lives = 0, lives_bytes = 0;
    while (session_next(session, &cursor, &payload)) {
        assert_in_range(payload.ends_at, 0, PAYLOAD_ENDS_AT_MAX);
        assert_in_range(payload.name_len, 1, SESSION_NAME_MAX);
        assert_in_range(payload.data_len, 1, SESSION_DATA_MAX);
        assert_true(session_get(session, payload.name, payload.name_len, &found));
        assert_ptr_equal(found.data, payload.data);
        payloads++;
        bytes += payload.name_len + payload.data_len;
        if (!payload.ends_at) continue;
        lives++;
        lives_bytes += payload.name_len + payload.data_len;
    }
    assert_false(session_next(session, &cursor, &payload));
    struct over over = session_over(session, PAYLOAD_ENDS_AT_MAX, UINT32_MAX);
    assert_int_equal(over.payloads, lives);
    assert_int_equal(over.bytes, lives_bytes);
    assert_int_equal(session_has_lives(session), lives > 0);
    assert_int_equal(session_payloads(session), payloads);
    assert_int_equal(session_payload_bytes(session), bytes);
}

static inline void assert_same_payloads(const struct session *a, const struct session *b) {
    assert_whole(a);
    assert_whole(b);
    assert_int_equal(session_payloads(a), session_payloads(b));
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(a, &cursor, &payload)) {
        struct payload other;
        assert_payload(b, payload.name, payload.name_len, payload.data, payload.data_len);
        assert_true(session_get(b, payload.name, payload.name_len, &other));
        assert_int_equal(other.ends_at, payload.ends_at);
    }
}

#endif
