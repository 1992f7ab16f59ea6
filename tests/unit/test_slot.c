/*
 * test_slot.c - hash slots: of names, and names for them.
 */
#include "support.h"

#include "slot.h"

/* CRC-16/XMODEM by its definition, a bit at a time. */
static uint16_t slot_bit_by_bit(const uint8_t *name, size_t name_len) {
    unsigned crc = 0;
    for (size_t bit = 0; bit < 8 * name_len; bit++) {
        unsigned next = name[bit / 8] >> (7 - bit % 8) & 1;
        crc = (crc << 1 & 0xffff) ^ ((crc >> 15 ^ next) ? 0x1021 : 0);
    }
    return (uint16_t)(crc % SLOT_COUNT);
}

/* As by CLUSTER KEYSLOT, and by Python: binascii.crc_hqx(name, 0) % 16384 */
static void names_have_the_slots_that_a_server_gives_them(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint16_t slot;
    } published[] = {
        {"", 0},
        {"123456789", 0x31c3},
        {"foo", 12182},
        {"somekey", 11058},
        {"v1.ExampleId0123456.44f550696e57659efea0017e55ccbbb10cb18079af9d1617c3301c1eb54f1084",
         4681},
        {"v2.ExampleId0123456789AbC.ad3da2324af4c1ac7a3e1ea551fd2a26Pad", 7418},
    };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        assert_int_equal(slot_of(published[i].name, strlen(published[i].name)), published[i].slot);
}

static void names_of_any_bytes_have_the_slot_of_their_crc16(void **state) {
    (void)state;
    struct random random = random_seeded();
    struct fence fence = fence_create(200);
    for (int i = 0; i < 20000; i++) {
        uint8_t name[200];
        size_t len = random_below(&random, sizeof name + 1);
        for (size_t at = 0; at < len; at++) name[at] = (uint8_t)random_next(&random);
        assert_int_equal(slot_of(fence_before_end(fence, name, len), len),
                         slot_bit_by_bit(name, len));
    }
    fence_free(fence);
}

/* The cluster specification's examples of hash tags, and what it says of each: the bytes that
 * count.
 */
static void of_a_name_with_a_hash_tag_only_the_tag_counts(void **state) {
    (void)state;
    static const struct {
        const char *name, *counts;
    } examples[] = {
        {"{user1000}.following", "user1000"},
        {"{user1000}.followers", "user1000"},
        {"foo{}{bar}", "foo{}{bar}"},
        {"foo{{bar}}zap", "{bar"},
        {"foo{bar}{zap}", "bar"},
        {"{foo", "{foo"},
        {"foo}{bar", "foo}{bar"},
        {"}{x}", "x"},
        {"{}", "{}"},
        {"foo{x}", "x"},
        {"owner:42", "owner:42"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const char *name = examples[i].name, *counts = examples[i].counts;
        assert_int_equal(slot_of_tagged(name, strlen(name)), slot_of(counts, strlen(counts)));
    }
    assert_int_equal(slot_of_tagged("{user1000}.following", 20), 3443); /* by CLUSTER KEYSLOT */
}

static void a_hash_tag_is_of_any_bytes_and_nothing_is_read_beyond_the_name(void **state) {
    (void)state;
    struct fence fence = fence_create(16);
    assert_int_equal(slot_of_tagged("a\0{\0b}c", 7), slot_of("\0b", 2));
    static const char name[] = "a{bc}d{";
    for (size_t len = 0; len <= 7; len++) {
        const char *cut = fence_before_end(fence, name, len);
        assert_int_equal(slot_of_tagged(cut, len), len < 5 ? slot_of(name, len) : slot_of("bc", 2));
    }
    fence_free(fence);
}

/* Prefixes of every length up to a token's. */
static void every_slot_can_be_reached_from_any_prefix(void **state) {
    (void)state;
    struct random random = random_seeded();
    struct fence fence = fence_create(84);
    for (size_t prefix_len = 0; prefix_len <= 84; prefix_len++) {
        uint8_t name[84 + SLOT_PAD_LEN + 1];
        for (size_t at = 0; at < prefix_len; at++) name[at] = (uint8_t)random_next(&random);
        const char *prefix = fence_before_end(fence, name, prefix_len);
        for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
            char *pad = (char *)name + prefix_len;
            pad[SLOT_PAD_LEN] = '#';
            slot_pad(pad, prefix, prefix_len, slot);
            assert_int_equal(pad[SLOT_PAD_LEN], '#');
            for (size_t i = 0; i < SLOT_PAD_LEN; i++)
                assert_non_null(memchr("abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
                                       pad[i], 62));
            assert_int_equal(slot_of((char *)name, prefix_len + SLOT_PAD_LEN), slot);
        }
    }
    fence_free(fence);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_the_slots_that_a_server_gives_them),
        cmocka_unit_test(names_of_any_bytes_have_the_slot_of_their_crc16),
        cmocka_unit_test(of_a_name_with_a_hash_tag_only_the_tag_counts),
        cmocka_unit_test(a_hash_tag_is_of_any_bytes_and_nothing_is_read_beyond_the_name),
        cmocka_unit_test(every_slot_can_be_reached_from_any_prefix),
    };
    return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
