/*
 * segments.h - an array that grows without being moved as a whole.
 *
 *     first     [ i i i ... ]                    up to SEGMENT_ITEMS, in a block that doubles
 *     further   [ . . . ]                        where there are more: a directory, of
 *                 | '-> [ i i i ... ]            segments of SEGMENT_ITEMS each
 *                 '---> [ i i i ... ]
 *
 * An array of millions that doubled would hold the server for milliseconds. Here one step copies at
 * most the directory: 32 KiB of it stand for four million items.
 *
 * How many items there are, and how large one is, is the caller's to know, and to say the same each
 * time.
 */
#ifndef SESSIONGATE_SEGMENTS_H
#define SESSIONGATE_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"

#define SEGMENT_ITEMS UINT32_C(1024)

/* All zeros: no items. */
struct segments {
    char *first;
    char **further;
};

/* Where the item of that place is: below the number that there are. */
static inline void *segments_at(const struct segments *segments, uint32_t place, size_t item_size) {
    if (place < SEGMENT_ITEMS) return segments->first + place * item_size;
    return segments->further[place / SEGMENT_ITEMS - 1] + place % SEGMENT_ITEMS * item_size;
}

/* Makes room for one item more than len; what it holds is the caller's to set. */
void segments_grow(struct segments *segments, uint32_t len, size_t item_size);

/* Gives back the room of the last, so that there are len. */
void segments_shrink(struct segments *segments, uint32_t len, size_t item_size);

/* Frees the array of len items, not what they point to. */
void segments_free(struct segments *segments, uint32_t len);

/* Bytes of memory that an array of len items takes, as asked from the allocator. */
size_t segments_memory(uint32_t len, size_t item_size);

/* Moves the blocks of an array: the first and the directory; and the further segment that begins
 * with a place, where one does. */
void segments_move(struct segments *segments, memory_mover move, void *context);
void segments_move_one(struct segments *segments, uint32_t place, memory_mover move, void *context);

#endif
