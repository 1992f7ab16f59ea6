/*
 * test_sha256.c - SHA-256 by the processor's instructions, where it has them.
 */
#include "support.h"

#include "sha256.h"

enum { WORDS = 8, LEN_BYTES = 8 };

static const uint32_t initial[WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* The hash of message, padded by FIPS 180-4, each block against a page that cannot be read. */
static void hash(uint32_t state[WORDS], const uint8_t *message, size_t len) {
    struct fence fence = fence_create(SHA256_BLOCK_LEN);
    memcpy(state, initial, sizeof initial);
    size_t blocks = (len + 1 + LEN_BYTES + SHA256_BLOCK_LEN - 1) / SHA256_BLOCK_LEN;
    for (size_t i = 0; i < blocks; i++) {
        uint8_t block[SHA256_BLOCK_LEN] = {0};
        for (size_t j = 0; j < SHA256_BLOCK_LEN; j++) {
            size_t at = i * SHA256_BLOCK_LEN + j;
            size_t from_end = blocks * SHA256_BLOCK_LEN - 1 - at;
            if (at < len)
                block[j] = message[at];
            else if (at == len)
                block[j] = 0x80;
            else if (from_end < LEN_BYTES)
                block[j] = (uint8_t)((uint64_t)len * 8 >> 8 * from_end);
        }
        sha256_compress(state, fence_before_end(fence, block, sizeof block));
    }
    fence_free(fence);
}

static void assert_hash(const void *message, size_t len, const char *hex) {
    uint32_t state[WORDS];
    char text[8 * WORDS + 1];
    hash(state, message, len);
    for (size_t i = 0; i < WORDS; i++) snprintf(text + 8 * i, 9, "%08x", (unsigned)state[i]);
    assert_string_equal(text, hex);
}

static void skip_without_instructions(void) {
    if (sha256_is_native()) return;
    print_message("           skipped: this processor has no SHA-256 instructions\n");
    skip();
}

static void the_examples_of_fips_180_hold(void **state) {
    (void)state;
    skip_without_instructions();
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash(two_blocks, sizeof two_blocks - 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* By Python: hashlib.sha256(bytes((i * i >> 3) & 255 for i in range(64000))).hexdigest() */
static void a_thousand_blocks_hash_as_elsewhere(void **state) {
    (void)state;
    skip_without_instructions();
    static uint8_t message[64000];
    for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)(i * i >> 3);
    assert_hash(message, sizeof message,
                "77c01c7f80ccedb14920840748813fe4fe9155757b7dcaf993b62f0e63677baa");
}

static void the_state_may_lie_anywhere(void **state) {
    (void)state;
    skip_without_instructions();
    static const uint8_t block[SHA256_BLOCK_LEN] = {1, 2, 3};
    uint32_t words[WORDS + 4], first[WORDS];
    memcpy(first, initial, sizeof initial);
    sha256_compress(first, block);
    for (size_t shift = 0; shift < 4; shift++) {
        memcpy(words + shift, initial, sizeof initial);
        sha256_compress(words + shift, block);
        assert_memory_equal(words + shift, first, sizeof first);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_fips_180_hold),
        cmocka_unit_test(a_thousand_blocks_hash_as_elsewhere),
        cmocka_unit_test(the_state_may_lie_anywhere),
    };
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
