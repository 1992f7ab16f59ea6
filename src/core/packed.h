/*
 * packed.h - a few payloads in one block of memory.
 *
 *     block
 *     +---------------------------+---------------------------+---
 *     | lens | name | data        | lens | name | data        | ...       entries, see entry.h
 *     +---------------------------+---------------------------+---
 *
 * They lie in order of arrival, and no hash is ever computed. Up to the limits below such a block
 * is looked through, and moved when a length changes, about as fast as a table is searched; and it
 * is smaller: 112 bytes for one payload of 100, where a table and its node take 160.
 */
#ifndef SESSIONGATE_PACKED_H
#define SESSIONGATE_PACKED_H

#include "entry.h"

#define PACKED_PAYLOADS 16
#define PACKED_BYTES 4096

/* All zeros: no payloads, and no block. Packed itself, to fill the session that it is part of. */
struct __attribute__((packed)) packed {
    uint8_t payloads : 7;
    uint8_t has_lives : 1; /* whether any has a life of its own */
    uint16_t len;          /* of the block */
    uint8_t *block;        /* NULL when empty */
};

/* Finds where the payload of that name begins in the block, and what it is; the end, and false,
 * when there is none. */
__attribute__((warn_unused_result)) bool packed_find(const struct packed *packed, const void *name,
                                                     size_t name_len, size_t *at,
                                                     struct payload *payload);

/* Sets a payload that packed_find found at a place, as `old`, or did not find: NULL. False, and
 * nothing changed: the block would be larger than the limits. */
__attribute__((warn_unused_result)) bool packed_put(struct packed *packed, size_t at,
                                                    const struct payload *old,
                                                    const struct payload *payload);

/* Deletes the payload at a place. */
void packed_delete(struct packed *packed, size_t at);

#endif
