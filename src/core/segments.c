/*
 * segments.c - the array of segments.h.
 *
 * The first block and the directory have room for a power of two. Their sizes follow from the
 * number of items alone, so that none of it is stored.
 */
#include "segments.h"

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? n : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static uint32_t first_room(uint32_t len) {
    return len < SEGMENT_ITEMS ? power_of_two_from(len) : SEGMENT_ITEMS;
}

/* How many segments stand behind the first block. */
static uint32_t further_segments(uint32_t len) {
    return len <= SEGMENT_ITEMS ? 0 : (len - 1) / SEGMENT_ITEMS;
}

static size_t directory_size(uint32_t segments) {
    return power_of_two_from(segments) * sizeof(char *);
}

void segments_grow(struct segments *segments, uint32_t len, size_t item_size) {
    if (first_room(len + 1) != first_room(len))
        segments->first = memory.realloc(segments->first, first_room(len + 1) * item_size);
    uint32_t had = further_segments(len);
    if (further_segments(len + 1) == had) return;
    if (directory_size(had + 1) != directory_size(had))
        segments->further = memory.realloc(segments->further, directory_size(had + 1));
    segments->further[had] = memory.alloc(SEGMENT_ITEMS * item_size);
}

void segments_shrink(struct segments *segments, uint32_t len, size_t item_size) {
    if (len == 0) {
        segments_free(segments, 1);
        return;
    }
    if (first_room(len) != first_room(len + 1))
        segments->first = memory.realloc(segments->first, first_room(len) * item_size);
    uint32_t left = further_segments(len);
    if (further_segments(len + 1) == left) return;
    memory.free(segments->further[left]);
    if (left == 0) {
        memory.free(segments->further);
        segments->further = NULL;
    } else if (directory_size(left + 1) != directory_size(left)) {
        segments->further = memory.realloc(segments->further, directory_size(left));
    }
}

void segments_free(struct segments *segments, uint32_t len) {
    for (uint32_t i = 0; i < further_segments(len); i++) memory.free(segments->further[i]);
    memory.free(segments->further);
    memory.free(segments->first);
    *segments = (struct segments){0};
}

size_t segments_memory(uint32_t len, size_t item_size) {
    uint32_t segments = further_segments(len);
    return (first_room(len) + (size_t)segments * SEGMENT_ITEMS) * item_size +
           directory_size(segments);
}

/* Where a block is now. */
static void *moved_block(void *block, memory_mover move, void *context) {
    void *moved = block ? move(context, block) : NULL;
    return moved ? moved : block;
}

void segments_move(struct segments *segments, memory_mover move, void *context) {
    segments->first = moved_block(segments->first, move, context);
    segments->further = moved_block(segments->further, move, context);
}

void segments_move_one(struct segments *segments, uint32_t place, memory_mover move,
                       void *context) {
    if (place == 0 || place % SEGMENT_ITEMS != 0) return;
    char **segment = &segments->further[place / SEGMENT_ITEMS - 1];
    *segment = moved_block(*segment, move, context);
}
