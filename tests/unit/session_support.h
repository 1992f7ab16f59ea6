/*
 * session_support.h - what the tests of sessions share: an allocator that counts, and comparison.
 */
#ifndef SESSIONGATE_TEST_SESSION_SUPPORT_H
#define SESSIONGATE_TEST_SESSION_SUPPORT_H

#include "support.h"

#include "memory.h"
#include "secret.h"
#include "session.h"

/* What is allocated now, as asked for. */
static struct {
    size_t blocks;
    size_t bytes;
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
    memcpy(moved, bytes, old_size < size ? old_size : size);
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

static inline bool put_text(struct session *session, const char *name, const char *data) {
    return session_put(session, name, strlen(name), data, strlen(data));
}

static inline void assert_payload(const struct session *session, const void *name, size_t name_len,
                                  const void *data, size_t data_len) {
    const struct payload *payload = session_get(session, name, name_len);
    assert_non_null(payload);
    assert_int_equal(payload->name_len, name_len);
    assert_int_equal(payload->data_len, data_len);
    assert_memory_equal(payload_name(payload), name, name_len);
    assert_memory_equal(payload_data(payload), data, data_len);
}

static inline void assert_text(const struct session *session, const char *name, const char *data) {
    assert_payload(session, name, strlen(name), data, strlen(data));
}

/* That the session is whole: a walk finds as many payloads and bytes as it says, each of a lawful
 * length, and a look-up of each one's name finds that very payload, so no name is there twice. */
static inline void assert_whole(const struct session *session) {
    struct session_cursor cursor = {0};
    const struct payload *payload;
    size_t payloads = 0, bytes = 0;
    while ((payload = session_next(session, &cursor))) {
        assert_in_range(payload->name_len, 1, SESSION_NAME_MAX);
        assert_in_range(payload->data_len, 1, SESSION_DATA_MAX);
        const void *found = session_get(session, payload_name(payload), payload->name_len);
        assert_ptr_equal(found, payload);
        payloads++;
        bytes += payload->name_len + (size_t)payload->data_len;
    }
    assert_null(session_next(session, &cursor));
    assert_int_equal(session->payloads, payloads);
    assert_int_equal(session->payload_bytes, bytes);
}

static inline void assert_same_payloads(const struct session *a, const struct session *b) {
    assert_whole(a);
    assert_whole(b);
    assert_int_equal(a->payloads, b->payloads);
    struct session_cursor cursor = {0};
    const struct payload *payload;
    while ((payload = session_next(a, &cursor)))
        assert_payload(b, payload_name(payload), payload->name_len, payload_data(payload),
                       payload->data_len);
}

#endif
