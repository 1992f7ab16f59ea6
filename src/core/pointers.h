/*
 * pointers.h - an array of pointers that grows without being moved as a whole.
 *
 *     first     [ p p p ... ]                    up to POINTERS_SEGMENT, in a block that doubles
 *     further   [ . . . ]                        where there are more: a directory, of
 *                 | '-> [ p p p ... ]            segments of POINTERS_SEGMENT each
 *                 '---> [ p p p ... ]
 *
 * An array of millions that doubled would hold the server for milliseconds. Here one step copies at
 * most the directory: 32 KiB of it stand for four million pointers.
 *
 * How many there are is the caller's to know, and to say the same each time.
 */
#ifndef SESSIONGATE_POINTERS_H
#define SESSIONGATE_POINTERS_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"

#define POINTERS_SEGMENT UINT32_C(1024) /* 8 KiB */

/* All zeros: none. */
struct pointers {
    void **first;
    void ***further;
};

/* Where the pointer of that place is kept: below the number that there are. */
static inline void **pointers_at(const struct pointers *pointers, uint32_t place) {
    if (place < POINTERS_SEGMENT) return &pointers->first[place];
    return &pointers->further[place / POINTERS_SEGMENT - 1][place % POINTERS_SEGMENT];
}

/* Makes room for one more than len; what it holds is the caller's to set. */
void pointers_grow(struct pointers *pointers, uint32_t len);

/* Gives back the room of the last, so that there are len. */
void pointers_shrink(struct pointers *pointers, uint32_t len);

/* Frees the array of len, not what it points to. */
void pointers_free(struct pointers *pointers, uint32_t len);

/* Bytes of memory that an array of len takes, as asked from the allocator. */
size_t pointers_memory(uint32_t len);

/* Moves the blocks of an array of len. */
void pointers_move(struct pointers *pointers, uint32_t len, memory_mover move, void *context);

#endif
