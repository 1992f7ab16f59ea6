/*
 * packed.c - the block of packed.h.
 */
#include "packed.h"

#include "memory.h"

bool packed_find(const struct packed *packed, const void *name, size_t name_len, size_t *at,
                 struct payload *payload) {
    const uint8_t *block = packed->block;
    for (*at = 0; *at < packed->len; *at += entry_size_with(block + *at, payload)) {
        entry_read(block + *at, payload);
        if (payload_is_named(payload, name, name_len)) return true;
    }
    return false;
}

/* Makes the entry at a place of the block, or none at its end, one of another size, and returns it.
 * What it holds is the caller's to write. */
static inline uint8_t *resize_entry(struct packed *packed, size_t at, size_t old_size,
                                    size_t size) {
    if (size == old_size) return packed->block + at;
    size_t end = at + old_size, len = packed->len + size - old_size;
    if (size > old_size) packed->block = memory.realloc(packed->block, len);
    memmove(packed->block + at + size, packed->block + end, packed->len - end);
    if (size < old_size) packed->block = memory.realloc(packed->block, len);
    packed->len = (uint16_t)len;
    return packed->block + at;
}

/* Whether any payload has a life, after one that had may have lost it. */
__attribute__((cold)) static void find_lives(struct packed *packed) {
    packed->has_lives = 0;
    for (size_t at = 0; at < packed->len; at += entry_size_at(packed->block + at))
        if (entry_ends_at(packed->block + at)) packed->has_lives = 1;
}

bool packed_put(struct packed *packed, size_t at, const struct payload *old,
                const struct payload *payload) {
    size_t old_size = old ? entry_size_with(packed->block + at, old) : 0;
    size_t size = entry_size(payload);
    if (packed->payloads + !old > PACKED_PAYLOADS || packed->len - old_size + size > PACKED_BYTES)
        return false;
    bool matters = payload->ends_at || (old && old->ends_at);
    entry_write(resize_entry(packed, at, old_size, size), payload);
    if (!old) packed->payloads++;
    if (matters) find_lives(packed);
    return true;
}

void packed_delete(struct packed *packed, size_t at) {
    if (--packed->payloads > 0) {
        resize_entry(packed, at, entry_size_at(packed->block + at), 0);
        if (packed->has_lives) find_lives(packed);
        return;
    }
    memory.free(packed->block);
    *packed = (struct packed){0};
}
