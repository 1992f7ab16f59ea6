/*
 * pairhash.c - NH of a name, and of a sign key, and their sum.
 *
 * Of an input of len bytes, with random words k of 64 bits, sums in brackets modulo 2^64:
 *
 *     nh = (len + k0) * k1 + (a0 + k2) * (b0 + k3) + (a1 + k4) * (b1 + k5) + ...  modulo 2^128
 *
 * where ai and bi are the two words of block i, 16 bytes. Fewer bytes than 16 are one block,
 * filled up with zeros. Otherwise the last block is the last 16 bytes, which the one before it may
 * share.
 *
 *     len 40:   |---- block 0 ----|---- block 1 ----|
 *                                         |---- block 2 ----|
 *
 * For two different inputs x and y and any number c, the nh of x less that of y is c with a chance
 * of 2^-64 at most, over the words k:
 *
 * Lemma. For a != a' and any b, b', c at most one word k has a * (b + k) - a' * (b' + k) = c
 * modulo 2^128. Let j be (b + k), which is as uniform as k, and d the word (b' - b): then (b' + k)
 * is j + d, or j + d - 2^64 where that reaches 2^64. In each of the two cases (a - a') * j is
 * something fixed, which one j has at most, as 0 < |a - a'| < 2^64. Were there one in each, j
 * without and i > j with the wrap, then (a - a') * (i - j) = -a' * 2^64 modulo 2^128. But for a <
 * a' that says (a' - a) * (i - j) = a' * 2^64, and the left side is above 0 and smaller; for a >
 * a' it says (a - a') * (i - j) = (2^64 - a') * 2^64, and it is so again.
 * (tests/unit/test_pairhash.c tries the lemma for all words of 4 bits.)
 *
 * Of different lengths: fix all words but k1. The first products differ by ((len + k0) - (len' +
 * k0)) * k1, whose factor is not 0 and less than 2^64 from it, and k1 is in no other product: at
 * most one k1 gives c.
 *
 * Of one length: the blocks cover all bytes, at the same places in both, so some block differs, in
 * its word a, say. Fix all words k but the one that is added to that block's b: it is in no other
 * product, and by the lemma at most one gives c. Likewise if b differs. That two blocks overlap
 * does no harm: what is independent are the words k.
 *
 * The sum of two: name and sign key have words of their own. If two pairs differ in the name, fix
 * the words of the sign keys: their part is a c, and the names meet it with a chance of 2^-64.
 * Likewise if they differ in the sign key. One that is longer than PAIRHASH_NAME_MAX is
 * represented by its fingerprint, a keyed hash of 128 bits.
 */
#include "pairhash.h"

#include <stdbool.h>
#include <string.h>

#include "secret.h"

#define BLOCK 16 /* bytes: two words */
#define BLOCKS_MAX (PAIRHASH_NAME_MAX / BLOCK)

/* Of names, and of sign keys: two words for the length, and two for each block. */
static uint64_t keys[2][2 + 2 * BLOCKS_MAX];

static void draw_keys(void) {
    static bool drawn;
    if (drawn) return;
    secret_random(keys, sizeof keys);
    drawn = true;
}

static inline unsigned __int128 nh_product(const uint64_t *key, const uint8_t *bytes) {
    uint64_t words[2];
    memcpy(words, bytes, BLOCK);
    return (unsigned __int128)(words[0] + key[0]) * (words[1] + key[1]);
}

/* The rest is read where it lies, by a block that overlaps, as a copy of it takes 3 % of a PGET. */
static unsigned __int128 nh_of(const uint64_t *key, const uint8_t *bytes, size_t len) {
    unsigned __int128 sum = (unsigned __int128)(len + key[0]) * key[1];
    if (len < BLOCK) {
        uint8_t block[BLOCK] = {0};
        memcpy(block, bytes, len);
        sum += nh_product(key + 2, block);
        secret_wipe(block, sizeof block);
        return sum;
    }
    for (; len > BLOCK; bytes += BLOCK, len -= BLOCK) sum += nh_product(key += 2, bytes);
    return sum + nh_product(key + 2, bytes + len - BLOCK);
}

void pairhash(uint64_t hash[2], const void *sign_key, size_t sign_key_len, const char *name,
              size_t name_len) {
    draw_keys();
    uint8_t fingerprint[SECRET_FINGERPRINT_LEN];
    if (sign_key_len > PAIRHASH_NAME_MAX) {
        secret_fingerprint(fingerprint, sign_key, sign_key_len);
        sign_key = fingerprint;
        sign_key_len = sizeof fingerprint;
    }
    unsigned __int128 sum =
        nh_of(keys[0], (const uint8_t *)name, name_len) + nh_of(keys[1], sign_key, sign_key_len);
    hash[0] = (uint64_t)sum;
    hash[1] = (uint64_t)(sum >> 64);
}
