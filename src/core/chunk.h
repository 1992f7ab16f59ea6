/*
 * chunk.h - a session as bytes, for files: one or more chunks.
 *
 *     first chunk    created_ms deadline_ms ttl payloads [owner_len owner] | entry | entry | ...
 *     a further one  entry | entry | ...
 *
 * The head's four are numbers as those of an entry (entry.h); `payloads` says how many are in all
 * chunks together, and 2^25 is added to it where the session has an owner, whose label follows. A
 * chunk ends with the first entry that fills CHUNK_BYTES, or with the last one; none but the first
 * is without entries.
 */
#ifndef SESSIONGATE_CHUNK_H
#define SESSIONGATE_CHUNK_H

#include "session.h"

#define CHUNK_BYTES (64U * 1024)
#define CHUNK_HEAD_MAX (5 * NUMBER_MAX + SESSION_OWNER_MAX)
#define CHUNK_PACKED_MAX (CHUNK_HEAD_MAX + PACKED_BYTES) /* of a packed session, which has one */

/* Packs the next chunk of a walk into *buffer, a block of *capacity bytes from memory.alloc (or
 * NULL and 0) that is made larger as needed and stays the caller's to free. Returns its length; 0
 * when the walk is over. chunk_pack_first begins with the head, and so is never empty; in
 * CHUNK_HEAD_MAX bytes and those of all entries it packs all, and leaves the block as it is. */
size_t chunk_pack_first(const struct session *session, struct session_cursor *cursor,
                        uint8_t **buffer, size_t *capacity);
size_t chunk_pack(const struct session *session, struct session_cursor *cursor, uint8_t **buffer,
                  size_t *capacity);

/* Adds the payloads of a chunk. False when it is not a chunk that chunk_pack could have made: no
 * payload, a length out of bounds or past the end, a name that the session has already, too many
 * payloads; the session then holds some of them and is only good to be freed. */
__attribute__((warn_unused_result)) bool chunk_unpack(struct session *session, const uint8_t *chunk,
                                                      size_t chunk_len);

/* The same for the first chunk, into a new session that is nobody's, which may move: sets the times
 * and the owner too, and tells how many payloads all chunks have. Where that are few, more than so
 * many are too many here already; else the caller has to compare. */
__attribute__((warn_unused_result)) bool chunk_unpack_first(struct session **session,
                                                            const uint8_t *chunk, size_t chunk_len,
                                                            uint32_t *payloads);

#endif
