/*
 * pointers.c - the array of pointers.h.
 *
 * The first block and the directory have room for a power of two. Their sizes follow from the
 * number of pointers alone, so that none of it is stored.
 */
#include "pointers.h"

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? n : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static uint32_t first_room(uint32_t len) {
    return len < POINTERS_SEGMENT ? power_of_two_from(len) : POINTERS_SEGMENT;
}

/* How many segments stand behind the first block. */
static uint32_t further_segments(uint32_t len) {
    return len <= POINTERS_SEGMENT ? 0 : (len - 1) / POINTERS_SEGMENT;
}

static size_t directory_size(uint32_t segments) {
    return power_of_two_from(segments) * sizeof(void **);
}

void pointers_grow(struct pointers *pointers, uint32_t len) {
    if (first_room(len + 1) != first_room(len))
        pointers->first =
            memory.realloc(pointers->first, first_room(len + 1) * sizeof *pointers->first);
    uint32_t segments = further_segments(len);
    if (further_segments(len + 1) == segments) return;
    if (directory_size(segments + 1) != directory_size(segments))
        pointers->further = memory.realloc(pointers->further, directory_size(segments + 1));
    pointers->further[segments] = memory.alloc(POINTERS_SEGMENT * sizeof(void *));
}

void pointers_shrink(struct pointers *pointers, uint32_t len) {
    if (len == 0) {
        pointers_free(pointers, 1);
        return;
    }
    if (first_room(len) != first_room(len + 1))
        pointers->first =
            memory.realloc(pointers->first, first_room(len) * sizeof *pointers->first);
    uint32_t segments = further_segments(len);
    if (further_segments(len + 1) == segments) return;
    memory.free(pointers->further[segments]);
    if (segments == 0) {
        memory.free(pointers->further);
        pointers->further = NULL;
    } else if (directory_size(segments + 1) != directory_size(segments)) {
        pointers->further = memory.realloc(pointers->further, directory_size(segments));
    }
}

void pointers_free(struct pointers *pointers, uint32_t len) {
    for (uint32_t i = 0; i < further_segments(len); i++) memory.free(pointers->further[i]);
    memory.free(pointers->further);
    memory.free(pointers->first);
    *pointers = (struct pointers){0};
}

size_t pointers_memory(uint32_t len) {
    uint32_t segments = further_segments(len);
    return (first_room(len) + (size_t)segments * POINTERS_SEGMENT) * sizeof(void *) +
           directory_size(segments);
}

/* Where a block is now. */
static void *moved_block(void *block, memory_mover move, void *context) {
    void *moved = block ? move(context, block) : NULL;
    return moved ? moved : block;
}

void pointers_move(struct pointers *pointers, uint32_t len, memory_mover move, void *context) {
    pointers->first = moved_block(pointers->first, move, context);
    pointers->further = moved_block(pointers->further, move, context);
    for (uint32_t i = 0; i < further_segments(len); i++)
        pointers->further[i] = moved_block(pointers->further[i], move, context);
}
