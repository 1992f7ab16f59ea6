/*
 * test_secret.c - HMAC, hashes and randomness.
 */
#include "support.h"

#include "secret.h"

/* Either text, or count times the byte fill. */
struct bytes {
    const char *text;
    uint8_t fill;
    size_t count;
};

/* clang-format off */
#define TEXT(literal) {(literal), 0, sizeof(literal) - 1}
#define FILL(byte, times) {NULL, (byte), (times)}
/* clang-format on */

/* RFC 4231, test cases 1 to 7; the fifth gives the first 16 bytes only. */
static const struct {
    struct bytes key;
    struct bytes message;
    const char *mac;
} rfc4231[] = {
    {FILL(0x0b, 20), TEXT("Hi There"),
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {TEXT("Jefe"), TEXT("what do ya want for nothing?"),
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {FILL(0xaa, 20), FILL(0xdd, 50),
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {TEXT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16"
          "\x17\x18\x19"),
     FILL(0xcd, 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {FILL(0x0c, 20), TEXT("Test With Truncation"), "a3b6167473100ee06e0c796c2955552b"},
    {FILL(0xaa, 131), TEXT("Test Using Larger Than Block-Size Key - Hash Key First"),
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {FILL(0xaa, 131),
     TEXT("This is a test using a larger than block-size key and a larger than block-size data. The"
          " key needs to be hashed before being used by the HMAC algorithm."),
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

#define RFC4231_CASES (sizeof rfc4231 / sizeof *rfc4231)

static const void *contents(const struct bytes *bytes, uint8_t room[256]) {
    return bytes->text ? memcpy(room, bytes->text, bytes->count)
                       : memset(room, bytes->fill, bytes->count);
}

static void assert_hex(const uint8_t *bytes, const char *hex) {
    char text[2 * SECRET_MAC_LEN + 1];
    for (size_t i = 0; 2 * i < strlen(hex); i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

static void check_rfc4231_case(size_t i) {
    uint8_t key[256], message[256], mac[SECRET_MAC_LEN];
    contents(&rfc4231[i].key, key);
    contents(&rfc4231[i].message, message);
    secret_sign(mac, secret_signer(key, rfc4231[i].key.count), message, rfc4231[i].message.count);
    assert_hex(mac, rfc4231[i].mac);
}

static void the_vectors_of_rfc_4231_hold(void **state) {
    (void)state;
    for (size_t i = 0; i < RFC4231_CASES; i++) check_rfc4231_case(i);
}

/* More sign keys than states of HMAC are kept, so that each is used anew, again, and after
 * eviction. */
static void the_vectors_of_rfc_4231_hold_between_many_other_sign_keys(void **state) {
    (void)state;
    for (uint32_t step = 0; step < 2000; step++) {
        uint8_t mac[SECRET_MAC_LEN];
        uint32_t other = step % 61;
        secret_sign(mac, secret_signer(&other, sizeof other), "message", 7);
        check_rfc4231_case(step % RFC4231_CASES);
        check_rfc4231_case(step % RFC4231_CASES);
    }
}

/* Expected value by Python:
 *     mac = b""
 *     for step in range(10000):
 *         mac = hmac.digest(b"sign key %d" % ((step // 3) ** 2 % 97), mac, "sha256") */
static void a_chain_of_signatures_under_alternating_sign_keys_ends_as_elsewhere(void **state) {
    (void)state;
    uint8_t mac[SECRET_MAC_LEN];
    size_t mac_len = 0;
    for (unsigned step = 0; step < 10000; step++) {
        char key[32];
        int key_len = snprintf(key, sizeof key, "sign key %u", (step / 3) * (step / 3) % 97);
        secret_sign(mac, secret_signer(key, (size_t)key_len), mac, mac_len);
        mac_len = sizeof mac;
    }
    assert_hex(mac, "9bc8ff3bed0a1ed9ca1fbd4fbb2d0fd2a227e7f9311422f39e3b127a03339fb5");
}

/* Expected value by Python:
 *     mac = bytes(32)
 *     for n in range(200):
 *         mac = hmac.digest((mac * 7)[: 1 + n % 130], (mac * 7)[:n], "sha256") */
static void a_chain_of_signatures_of_every_length_of_message_ends_as_elsewhere(void **state) {
    (void)state;
    uint8_t mac[SECRET_MAC_LEN] = {0}, bytes[7 * SECRET_MAC_LEN];
    for (size_t n = 0; n < 200; n++) {
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = mac[i % sizeof mac];
        secret_sign(mac, secret_signer(bytes, 1 + n % 130), bytes, n);
    }
    assert_hex(mac, "2152fa512ecf1717c94896e21d9a3b0f96861bdbd08a7d3894dec4c1c787d69a");
}

static void signing_reads_neither_key_nor_message_beyond_their_ends(void **state) {
    (void)state;
    struct fence keys = fence_create(300), messages = fence_create(300);
    uint8_t bytes[300] = {0};
    for (size_t len = 1; len <= sizeof bytes; len++) {
        uint8_t at_end[SECRET_MAC_LEN], at_start[SECRET_MAC_LEN];
        secret_sign(at_end, secret_signer(fence_before_end(keys, bytes, len), len),
                    fence_before_end(messages, bytes, len), len);
        secret_sign(at_start, secret_signer(fence_after_start(keys, bytes, len), len),
                    fence_after_start(messages, bytes, len), len);
        assert_memory_equal(at_end, at_start, sizeof at_end);
    }
    fence_free(keys);
    fence_free(messages);
}

/* With 255 degrees of freedom, a chi-square exceeds 450 once in 10^12 tries. */
static void hashes_of_neighbours_fill_the_buckets_of_a_table_evenly(void **state) {
    (void)state;
    size_t counts[256] = {0};
    for (uint32_t input = 0; input < 100000; input++) {
        uint64_t hash = secret_hash(&input, sizeof input);
        assert_int_equal(hash, secret_hash(&input, sizeof input));
        counts[hash & 255]++;
    }
    assert_true(chi_square(counts, 256) < 450);
}

static void random_bytes_are_uniform(void **state) {
    (void)state;
    size_t counts[256] = {0};
    for (size_t i = 0; i < 1000000; i++) counts[secret_random_byte()]++;
    assert_true(chi_square(counts, 256) < 450);
}

/* Looks at every 16 bytes in a row: a batch given out twice repeats them. */
static void random_bytes_do_not_repeat(void **state) {
    (void)state;
    enum { ROWS = 20000 };
    static uint8_t rows[ROWS][16];
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < sizeof rows[i]; j++) rows[i][j] = secret_random_byte();
    assert_all_differ(rows, ROWS);
}

static void bytes_are_equal_only_when_none_differs(void **state) {
    (void)state;
    uint8_t a[64], b[64];
    for (size_t i = 0; i < sizeof a; i++) a[i] = b[i] = (uint8_t)i;
    assert_true(secret_equal(a, b, sizeof a));
    assert_true(secret_equal(a, b, 0));
    for (size_t at = 0; at < sizeof a; at++)
        for (unsigned difference = 1; difference < 256; difference++) {
            b[at] = (uint8_t)(a[at] ^ difference);
            assert_false(secret_equal(a, b, sizeof a));
            assert_true(secret_equal(a, b, at));
            b[at] = a[at];
        }
}

static int start(void **state) {
    (void)state;
    return secret_start() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4231_hold),
        cmocka_unit_test(the_vectors_of_rfc_4231_hold_between_many_other_sign_keys),
        cmocka_unit_test(a_chain_of_signatures_under_alternating_sign_keys_ends_as_elsewhere),
        cmocka_unit_test(a_chain_of_signatures_of_every_length_of_message_ends_as_elsewhere),
        cmocka_unit_test(signing_reads_neither_key_nor_message_beyond_their_ends),
        cmocka_unit_test(hashes_of_neighbours_fill_the_buckets_of_a_table_evenly),
        cmocka_unit_test(random_bytes_are_uniform),
        cmocka_unit_test(random_bytes_do_not_repeat),
        cmocka_unit_test(bytes_are_equal_only_when_none_differs),
    };
    return cmocka_run_group_tests_name("secret", tests, start, NULL);
}
