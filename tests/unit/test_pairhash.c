/*
 * test_pairhash.c - the hash of a sign key and a name: what its proof rests on, and what it
 * promises.
 */
#include "support.h"

#include "pairhash.h"
#include "secret.h"

/* The lemma of pairhash.c, with words of 4 bits: for each two different a, each two b, and each
 * difference c, at most one key. */
static void of_two_products_at_most_one_key_makes_a_difference(void **state) {
    (void)state;
    enum { WORDS = 16 };
    for (unsigned a = 0; a < WORDS; a++)
        for (unsigned other = 0; other < WORDS; other++)
            for (unsigned b = 0; a != other && b < WORDS * WORDS; b++) {
                bool is_taken[WORDS * WORDS] = {false};
                for (unsigned key = 0; key < WORDS; key++) {
                    unsigned one = a * ((b % WORDS + key) % WORDS);
                    unsigned two = other * ((b / WORDS + key) % WORDS);
                    unsigned difference = (one - two) % (WORDS * WORDS);
                    assert_false(is_taken[difference]);
                    is_taken[difference] = true;
                }
            }
}

/* Each byte of each length is in a block: changed, it changes the hash. */
static void every_byte_counts(void **state) {
    (void)state;
    uint8_t bytes[PAIRHASH_NAME_MAX];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 101);
    for (size_t len = 1; len <= sizeof bytes; len++)
        for (size_t at = 0; at < len; at++) {
            uint64_t before[2], changed[2][2];
            pairhash(before, bytes, len, (char *)bytes, len);
            uint8_t other[PAIRHASH_NAME_MAX];
            memcpy(other, bytes, sizeof other);
            other[at] ^= 1;
            pairhash(changed[0], other, len, (char *)bytes, len);
            pairhash(changed[1], bytes, len, (char *)other, len);
            assert_memory_not_equal(before, changed[0], sizeof before);
            assert_memory_not_equal(before, changed[1], sizeof before);
        }
}

/* Were two blocks multiplied with the same words, they could change places. */
static void blocks_do_not_stand_for_each_other(void **state) {
    (void)state;
    enum { BLOCK = 16, BLOCKS = PAIRHASH_NAME_MAX / BLOCK };
    static uint64_t hashes[2 * BLOCKS][2];
    for (size_t i = 0; i < BLOCKS; i++) {
        uint8_t bytes[PAIRHASH_NAME_MAX] = {0};
        memset(bytes + i * BLOCK, 0x5a, BLOCK);
        pairhash(hashes[2 * i], "sign key", 8, (char *)bytes, sizeof bytes);
        pairhash(hashes[2 * i + 1], bytes, sizeof bytes, "name", 4);
    }
    assert_all_differ(hashes, 2 * BLOCKS);
}

/* Sign keys of up to 200 bytes: past PAIRHASH_NAME_MAX they are hashed in another way. */
static void equal_pairs_have_equal_hashes_wherever_they_are(void **state) {
    (void)state;
    enum { KEY_MAX = 200 };
    struct fence keys = fence_create(KEY_MAX), names = fence_create(PAIRHASH_NAME_MAX);
    char bytes[KEY_MAX];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 37);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        size_t name_len = len * PAIRHASH_NAME_MAX / KEY_MAX;
        uint64_t here[2], there[2];
        pairhash(here, bytes, len, bytes, name_len);
        pairhash(there, fence_before_end(keys, bytes, len), len,
                 fence_before_end(names, bytes, name_len), name_len);
        assert_memory_equal(here, there, sizeof here);
    }
    fence_free(keys);
    fence_free(names);
}

/* How many neighbours len NULs have: themselves, and the same with one bit set. */
static size_t neighbours(size_t len) {
    return 1 + 8 * len;
}

static void make_neighbour(uint8_t *bytes, size_t len, size_t n) {
    memset(bytes, 0, len);
    if (n > 0) bytes[(n - 1) / 8] = (uint8_t)(1U << (n - 1) % 8);
}

/* With and without a rest behind the last 16 bytes; the lengths of tokens among them, and what is
 * too long for a name. */
static const size_t lens[] = {0,  1,  2,  7,  8,   9,   15,  16,  17,  31,  32,  61,
                              63, 64, 83, 84, 125, 126, 127, 128, 129, 130, 150, 200};

enum {
    LENS = sizeof lens / sizeof *lens,
    LEN_MAX = 200,
    ALL_NEIGHBOURS = LENS * (1 + 8 * LEN_MAX)
};

/* A chance of 2^-64 for each two: for all of these, once in 10^10 runs. */
static void different_sign_keys_have_different_hashes_with_a_name(void **state) {
    (void)state;
    static uint64_t hashes[ALL_NEIGHBOURS][2];
    uint8_t key[LEN_MAX];
    size_t count = 0;
    for (size_t i = 0; i < LENS; i++)
        for (size_t n = 0; n < neighbours(lens[i]); n++) {
            make_neighbour(key, lens[i], n);
            pairhash(hashes[count++], key, lens[i], "name", 4);
        }
    assert_all_differ(hashes, count);
}

static void different_names_have_different_hashes_with_a_sign_key(void **state) {
    (void)state;
    static uint64_t hashes[ALL_NEIGHBOURS][2];
    uint8_t name[PAIRHASH_NAME_MAX];
    size_t count = 0;
    for (size_t i = 0; i < LENS && lens[i] <= sizeof name; i++)
        for (size_t n = 0; n < neighbours(lens[i]); n++) {
            make_neighbour(name, lens[i], n);
            pairhash(hashes[count++], "sign key", 8, (const char *)name, lens[i]);
        }
    assert_all_differ(hashes, count);
}

/* Were both hashed with the same numbers, they could change places. */
static void a_sign_key_and_a_name_do_not_stand_for_each_other(void **state) {
    (void)state;
    uint8_t bytes[2][16] = {{0}};
    for (size_t n = 1; n < neighbours(sizeof bytes[0]); n++) {
        make_neighbour(bytes[1], sizeof bytes[1], n);
        uint64_t one[2], other[2];
        pairhash(one, bytes[0], 16, (const char *)bytes[1], 16);
        pairhash(other, bytes[1], 16, (const char *)bytes[0], 16);
        assert_memory_not_equal(one, other, sizeof one);
    }
}

static int start(void **state) {
    (void)state;
    return secret_start() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_products_at_most_one_key_makes_a_difference),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(blocks_do_not_stand_for_each_other),
        cmocka_unit_test(equal_pairs_have_equal_hashes_wherever_they_are),
        cmocka_unit_test(different_sign_keys_have_different_hashes_with_a_name),
        cmocka_unit_test(different_names_have_different_hashes_with_a_sign_key),
        cmocka_unit_test(a_sign_key_and_a_name_do_not_stand_for_each_other),
    };
    return cmocka_run_group_tests_name("pairhash", tests, start, NULL);
}
