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

#include "packed.h"
#include "table.h"
#include "token.h"

/* What the structure itself can hold; the commands set narrower limits. */
#define SESSION_NAME_MAX UINT16_MAX
#define SESSION_DATA_MAX (512U * 1024 * 1024)
#define SESSION_PAYLOADS_MAX (16U * 1024 * 1024)

/* What a session knows of its own time; when it ends is the TTL of its key. Packed: without the 4
 * bytes that would fill it up, a session is one of the allocator's blocks of 48 bytes, not of 56.
 */
struct __attribute__((packed, aligned(4))) session_times {
    int64_t created_ms;  /* unix ms; 0: unknown, from a file of before it was kept */
    int64_t deadline_ms; /* unix ms that no refresh goes past; 0: none */
    uint32_t ttl;        /* seconds, as last given: what a refresh restores; 0: unknown */
};

/* Payloads that are too many, or too large, for one block; laid out as `packed` when that is empty.
 */
struct __attribute__((packed)) spilled {
    uint8_t nothing[3]; /* zeros */
    struct table *table;
};

/* The label of an owner: bytes. */
#define SESSION_OWNER_MAX 200

struct session {
    struct token_memory verified; /* not part of the contents: never saved, never copied */
    struct session_times times;
    uint8_t owner_len; /* 0: nobody's */
    union {
        struct packed packed;
        struct spilled spilled;
    };
    char owner[]; /* for as long as the session lives */
};

/* A new session without payloads, nobody's. */
struct session *session_create(void);

/* Gives a session that is nobody's an owner, with a label of 1 to SESSION_OWNER_MAX bytes. The
 * session moves: where it was is of no more use. */
__attribute__((warn_unused_result)) struct session *
session_own(struct session *session, const char *owner, size_t owner_len);

/* Whether the session is of an owner with that label. */
bool session_is_of(const struct session *session, const char *owner, size_t owner_len);

/* Frees the session and its payloads; may run in any thread, takes NULL. */
void session_free(struct session *session);

/* A copy of the contents, that nobody has been verified for. */
struct session *session_copy(const struct session *session);

/* How many payloads the session has, and the bytes of their names and data together. Here as in
 * all that follows, one whose time is over is there until session_sweep removes it: what to make of
 * it is the caller's to decide, who knows the time. */
uint32_t session_payloads(const struct session *session);
size_t session_payload_bytes(const struct session *session);

/* Finds the payload of that name; false when there is none, *payload is of no use then. */
__attribute__((warn_unused_result)) bool session_get(const struct session *session,
                                                     const void *name, size_t name_len,
                                                     struct payload *payload);

/* Sets a payload, whether its name is new or not. 1 <= name_len <= SESSION_NAME_MAX,
 * 1 <= data_len <= SESSION_DATA_MAX and 0 <= ends_at <= PAYLOAD_ENDS_AT_MAX are the caller's to see
 * to, and SESSION_PAYLOADS_MAX is when the name is new; name and data lie outside this session.
 * True when the name is new. */
bool session_put(struct session *session, const struct payload *payload);

/* Deletes the payload of that name; false when there is none. */
bool session_delete(struct session *session, const void *name, size_t name_len);

/* Whether the payloads are in one block, and not in a table. */
static inline bool session_is_packed(const struct session *session) {
    return session->packed.payloads > 0 || !session->spilled.table;
}

/* Whether any payload has a life of its own. */
static inline bool session_has_lives(const struct session *session) {
    return session_is_packed(session) ? session->packed.has_lives
                                      : session->spilled.table->lives != NULL;
}

/* How many payloads are over at an instant, counted up to a number, and their bytes: O(their
 * number), whatever else the session has. */
struct over session_over(const struct session *session, int64_t now_ms, uint32_t at_most);

/* Removes those payloads, at most so many: the ones that ended first, by name where that is the
 * same (lives.h). Returns how many there were. */
uint32_t session_sweep(struct session *session, int64_t now_ms, uint32_t at_most);

/* A walk over all payloads, in no particular order: start with a cursor of zeros, call until false.
 * The session may not change meanwhile. */
struct session_cursor {
    size_t place;
    const struct node *node;
};

bool session_next(const struct session *session, struct session_cursor *cursor,
                  struct payload *payload);

/* The same for the entry of a payload; NULL when the walk is over. */
const uint8_t *session_next_entry(const struct session *session, struct session_cursor *cursor);

/* The bytes of all entries together. */
size_t session_entry_bytes(const struct session *session);

/* Bytes of memory the session takes, as asked from the allocator. */
size_t session_memory(const struct session *session);

/* Moves the session's blocks, for a server that defragments. session_move_self moves the session's
 * own blocks and returns where it is now; session_move_bucket moves the payloads of one bucket (0
 * .. session_buckets - 1). */
struct session *session_move_self(struct session *session, memory_mover move, void *context);
uint32_t session_buckets(const struct session *session);
void session_move_bucket(struct session *session, uint32_t bucket, memory_mover move,
                         void *context);

#endif
