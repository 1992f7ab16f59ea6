/*
 * session.h - one session: named payloads, and what of it is remembered between calls.
 *
 * Names and data are bytes; both are copied in. Nothing here knows of a server, of time or of
 * tokens' making; the session's name and lifetime belong to the key it is stored under.
 */
#ifndef SESSIONGATE_SESSION_H
#define SESSIONGATE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token.h"

/* What the structure itself can hold; the commands set narrower limits. */
#define SESSION_NAME_MAX UINT16_MAX
#define SESSION_DATA_MAX (512U * 1024 * 1024)
#define SESSION_PAYLOADS_MAX (16U * 1024 * 1024)

/* A payload, seen where it lies in its session: good until the next change of the session. */
struct payload {
    const uint8_t *name, *data;
    size_t name_len, data_len;
};

/* What a session knows of its own time; when it ends is the TTL of its key. Packed: without the 4 bytes
 * that would fill it up, a session is one of the allocator's blocks of 48 bytes, not of 56. */
struct __attribute__((packed, aligned(4))) session_times {
    int64_t created_ms;  /* unix ms; 0: unknown, from a file of before it was kept */
    int64_t deadline_ms; /* unix ms that no refresh goes past; 0: none */
    uint32_t ttl;        /* seconds, as last given: what a refresh restores; 0: unknown */
};

struct node; /* a payload in a table */

/* The payloads of a session that are too many, or too large, for one block. */
struct table {
    uint32_t payloads;
    uint32_t buckets;
    size_t payload_bytes; /* of names and data */
    size_t entry_bytes;   /* and of their lengths */
    struct node *chains[];
};

struct session {
    struct token_memory verified; /* not part of the contents: never saved, never copied */
    struct session_times times;
    uint16_t packed_payloads; /* 0: none, or all are in the table */
    uint16_t packed_len;
    union {
        uint8_t *packed;     /* a few payloads: one block, NULL when empty */
        struct table *table; /* more, or larger ones */
    };
};

/* A new session without payloads. */
struct session *session_create(void);

/* Frees the session and its payloads; may run in any thread, takes NULL. */
void session_free(struct session *session);

/* A copy of the contents, that nobody has been verified for. */
struct session *session_copy(const struct session *session);

/* How many payloads the session has, and the bytes of their names and data together. */
uint32_t session_payloads(const struct session *session);
size_t session_payload_bytes(const struct session *session);

/* Finds the payload of that name; false when there is none, *payload is of no use then. */
__attribute__((warn_unused_result)) bool session_get(const struct session *session,
                                                     const void *name, size_t name_len,
                                                     struct payload *payload);

/* Sets the payload of that name, new or not. 1 <= name_len <= SESSION_NAME_MAX and
 * 1 <= data_len <= SESSION_DATA_MAX are the caller's to see to, and SESSION_PAYLOADS_MAX is when
 * the name is new; neither lies in this session. True when the name is new. */
bool session_put(struct session *session, const void *name, size_t name_len, const void *data,
                 size_t data_len);

/* Deletes the payload of that name; false when there is none. */
bool session_delete(struct session *session, const void *name, size_t name_len);

/* A walk over all payloads, in no particular order: start with a cursor of zeros, call until false.
 * The session may not change meanwhile. */
struct session_cursor {
    size_t place;
    const struct node *node;
};

bool session_next(const struct session *session, struct session_cursor *cursor,
                  struct payload *payload);

/* Bytes of memory the session takes, as asked from the allocator. */
size_t session_memory(const struct session *session);

/* Moves the session's blocks, for a server that defragments: move takes a block and returns where
 * its contents are now, or NULL to leave it. session_move_self moves the session's own blocks and
 * returns where it is now; session_move_bucket moves the payloads of one bucket (0 .. session_buckets - 1).
 */
typedef void *(*session_mover)(void *context, void *block);
struct session *session_move_self(struct session *session, session_mover move, void *context);
uint32_t session_buckets(const struct session *session);
void session_move_bucket(struct session *session, uint32_t bucket, session_mover move,
                         void *context);

/*
 * A session as bytes, for files: one or more chunks. The first begins with the head,
 *
 *     created_ms, deadline_ms, ttl
 *     payloads                  how many are in all chunks
 *
 * and goes on like the others with payloads, one behind the other:
 *
 *     name_len, data_len
 *     name, data
 *
 * A number is one to nine bytes, as few as can be: seven bits in each, the lowest first, and 128 added
 * to all but the last (unsigned LEB128 of DWARF 5, 7.6). A chunk ends with the first payload that fills
 * SESSION_CHUNK bytes, or with the last one; none but the first is empty of payloads.
 */
#define SESSION_CHUNK (64U * 1024)

/* Packs the next chunk of a walk into *buffer, a block of *capacity bytes from memory.alloc (or NULL
 * and 0) that is made larger as needed and stays the caller's to free. Returns its length; 0 when the
 * walk is over. session_pack_first begins with the head, and so is never empty. */
size_t session_pack_first(const struct session *session, struct session_cursor *cursor,
                          uint8_t **buffer, size_t *capacity);
size_t session_pack(const struct session *session, struct session_cursor *cursor, uint8_t **buffer,
                    size_t *capacity);

/* Adds the payloads of a chunk. False when it is not a chunk that session_pack could have made: no
 * payload, a length out of bounds or past the end, a name that the session has already, too many
 * payloads; the session then holds some of them and is only good to be freed. */
__attribute__((warn_unused_result)) bool session_unpack(struct session *session,
                                                        const uint8_t *chunk, size_t chunk_len);

/* The same for the first chunk: sets the times, and tells how many payloads all chunks have. */
__attribute__((warn_unused_result)) bool session_unpack_first(struct session *session,
                                                              const uint8_t *chunk,
                                                              size_t chunk_len, uint32_t *payloads);

#endif
