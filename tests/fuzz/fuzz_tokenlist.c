/*
 * fuzz_tokenlist.c - whether any bytes, taken for a list of tokens, are refused or give a list whose
 * tokens all have their form, each once, and can be taken out one by one.
 */
#include "fuzz.h"

#include <string.h>

#include "memory.h"
#include "tokenlist.h"

static void require_whole(const struct tokenlist *list) {
    for (uint32_t place = 0; place < list->len; place++) {
        char token[TOKEN_V2_LEN];
        uint8_t packed[TOKEN_PACKED_LEN];
        tokenlist_get(list, place, token);
        require(token_has_form(token, sizeof token), "a token of a list has its form");
        token_pack(packed, token);
        require(memcmp(packed, list->packed[place], sizeof packed) == 0,
                "a token packs to what it was unpacked from");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len) {
    struct tokenlist list;
    bool taken = tokenlist_load(&list, input, input_len);
    require(taken == (list.len > 0), "what is refused leaves an empty list");
    require(!taken || (size_t)list.len * TOKEN_PACKED_LEN == input_len, "each byte counts");
    require_whole(&list);

    struct tokenlist copy = tokenlist_copy(&list);
    for (uint32_t left = list.len; left > 0; left--) {
        char token[TOKEN_V2_LEN];
        tokenlist_get(&copy, left / 2, token);
        require(!tokenlist_add(&copy, token), "a token is there once");
        require(tokenlist_remove(&copy, token), "a token can be taken out");
        require(!tokenlist_has(&copy, token), "what was taken out is gone");
        require(copy.len == left - 1, "it was taken out alone");
    }
    require(!copy.packed, "an emptied list has no memory");
    tokenlist_free(&list);
    return 0;
}
