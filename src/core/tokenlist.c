/*
 * tokenlist.c - the list of tokenlist.h.
 */
#include "tokenlist.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

void tokenlist_free(struct tokenlist *list) {
    memory.free(list->packed);
    *list = (struct tokenlist){0};
}

void tokenlist_get(const struct tokenlist *list, uint32_t place, char token[TOKEN_V2_LEN]) {
    token_unpack(token, list->packed[place]);
}

/* The place of a token; len where it is not there. */
static uint32_t place_of(const struct tokenlist *list, const char token[TOKEN_V2_LEN]) {
    uint8_t packed[TOKEN_PACKED_LEN];
    token_pack(packed, token);
    uint32_t place = 0;
    while (place < list->len && memcmp(list->packed[place], packed, sizeof packed) != 0) place++;
    return place;
}

bool tokenlist_has(const struct tokenlist *list, const char token[TOKEN_V2_LEN]) {
    return place_of(list, token) < list->len;
}

bool tokenlist_add(struct tokenlist *list, const char token[TOKEN_V2_LEN]) {
    if (list->len == TOKENLIST_MAX || tokenlist_has(list, token)) return false;
    list->packed = memory.realloc(list->packed, (list->len + 1) * sizeof *list->packed);
    token_pack(list->packed[list->len++], token);
    return true;
}

bool tokenlist_remove(struct tokenlist *list, const char token[TOKEN_V2_LEN]) {
    uint32_t place = place_of(list, token);
    if (place == list->len) return false;
    if (--list->len == 0) {
        tokenlist_free(list);
        return true;
    }
    memmove(list->packed[place], list->packed[place + 1],
            (list->len - place) * sizeof *list->packed);
    list->packed = memory.realloc(list->packed, list->len * sizeof *list->packed);
    return true;
}

void tokenlist_replace(struct tokenlist *list, const char old[TOKEN_V2_LEN],
                       const char token[TOKEN_V2_LEN]) {
    uint32_t place = place_of(list, old);
    if (place < list->len && !tokenlist_has(list, token))
        token_pack(list->packed[place], token);
    else
        tokenlist_add(list, token);
}

struct tokenlist tokenlist_copy(const struct tokenlist *list) {
    struct tokenlist copy = {0};
    if (list->len == 0) return copy;
    copy.packed = memory.alloc(list->len * sizeof *copy.packed);
    memcpy(copy.packed, list->packed, list->len * sizeof *copy.packed);
    copy.len = list->len;
    return copy;
}

static int compare_packed(const void *a, const void *b) {
    return memcmp(a, b, TOKEN_PACKED_LEN);
}

/* Whether no token is there twice: of the sorted ones no two neighbours are equal. */
static bool has_no_twins(const struct tokenlist *list) {
    struct tokenlist sorted = tokenlist_copy(list);
    qsort(sorted.packed, sorted.len, sizeof *sorted.packed, compare_packed);
    bool none = true;
    for (uint32_t i = 1; i < sorted.len && none; i++)
        none = compare_packed(sorted.packed[i - 1], sorted.packed[i]) != 0;
    tokenlist_free(&sorted);
    return none;
}

static bool has_forms(const struct tokenlist *list) {
    char token[TOKEN_V2_LEN];
    for (uint32_t place = 0; place < list->len; place++) {
        tokenlist_get(list, place, token);
        if (!token_has_form(token, TOKEN_V2_LEN)) return false;
    }
    return true;
}

bool tokenlist_load(struct tokenlist *list, const uint8_t *bytes, size_t bytes_len) {
    *list = (struct tokenlist){0};
    size_t len = bytes_len / TOKEN_PACKED_LEN;
    if (bytes_len % TOKEN_PACKED_LEN != 0 || len < 1 || len > TOKENLIST_MAX) return false;
    list->packed = memory.alloc(bytes_len);
    memcpy(list->packed, bytes, bytes_len);
    list->len = (uint32_t)len;
    if (has_forms(list) && has_no_twins(list)) return true;
    tokenlist_free(list);
    return false;
}
