/*
 * test_token.c - tokens: their form, their signature, and the memory of a verification.
 */
#include "support.h"

#include "token.h"

#define ID_AT 3
#define DOT_AT 19

static const char id_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char hex_characters[] = "0123456789abcdef";

enum { ID_CHARACTERS = sizeof id_characters - 1, ID_LEN = DOT_AT - ID_AT };

static const char sign_key[] = "an example sign key";
static const char other_sign_key[] = "another sign key";

#define SIGN_KEY sign_key, sizeof sign_key - 1
#define OTHER_SIGN_KEY other_sign_key, sizeof other_sign_key - 1

/* By: printf ExampleId0123456 | openssl dgst -sha256 -hmac 'an example sign key' */
static const char example[] =
    "v1.ExampleId0123456.44f550696e57659efea0017e55ccbbb10cb18079af9d1617c3301c1eb54f1084";

/* Signed with the bytes 0 to 255 four times over; by openssl and by Python's hmac. */
static const char of_binary_key[] =
    "v1.zZaA09zZaA09zZaA.c97af934b11a0cc21df6ada579a7d065cc94d5d15e0ce74e4d673d415d5d70b7";

/* Whether value may stand at that place of a token. */
static bool fits(size_t at, uint8_t value) {
    if (at < ID_AT || at == DOT_AT) return value == (uint8_t)example[at];
    return at < DOT_AT ? memchr(id_characters, value, ID_CHARACTERS) != NULL
                       : memchr(hex_characters, value, 16) != NULL;
}

static void assert_form(const char *token) {
    for (size_t at = 0; at < TOKEN_LEN; at++)
        if (!fits(at, (uint8_t)token[at])) fail_msg("%.*s at %zu", TOKEN_LEN, token, at);
}

static void a_minted_token_has_the_form_and_verifies_with_its_sign_key(void **state) {
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char token[TOKEN_LEN];
        token_mint(token, SIGN_KEY);
        assert_form(token);
        assert_int_equal(token_verify(token, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    }
}

static void minting_writes_84_bytes_and_no_more(void **state) {
    (void)state;
    struct fence fence = fence_create(TOKEN_LEN);
    token_mint((char *)fence.end - TOKEN_LEN, SIGN_KEY);
    char token[TOKEN_LEN + 1];
    token[TOKEN_LEN] = '#';
    token_mint(token, SIGN_KEY);
    assert_int_equal(token[TOKEN_LEN], '#');
    fence_free(fence);
}

static int compare_tokens(const void *a, const void *b) {
    return memcmp(a, b, TOKEN_LEN);
}

/* With 61 degrees of freedom, a chi-square exceeds 180 once in 10^13 tries. */
static void ids_are_uniform_at_every_place_and_never_repeat(void **state) {
    (void)state;
    enum { TOKENS = 50000 };
    static char tokens[TOKENS][TOKEN_LEN];
    static size_t counts[ID_LEN][ID_CHARACTERS];
    size_t all_counts[ID_CHARACTERS] = {0};
    for (size_t i = 0; i < TOKENS; i++) {
        token_mint(tokens[i], SIGN_KEY);
        for (size_t at = 0; at < ID_LEN; at++) {
            const char *found = memchr(id_characters, tokens[i][ID_AT + at], ID_CHARACTERS);
            assert_non_null(found);
            counts[at][found - id_characters]++;
            all_counts[found - id_characters]++;
        }
    }
    assert_true(chi_square(all_counts, ID_CHARACTERS) < 180);
    for (size_t at = 0; at < ID_LEN; at++) assert_true(chi_square(counts[at], ID_CHARACTERS) < 180);

    qsort(tokens, TOKENS, TOKEN_LEN, compare_tokens);
    for (size_t i = 1; i < TOKENS; i++)
        assert_memory_not_equal(tokens[i - 1] + ID_AT, tokens[i] + ID_AT, ID_LEN);
}

static void tokens_signed_elsewhere_verify(void **state) {
    (void)state;
    assert_int_equal(token_verify(example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    uint8_t binary_key[1024];
    for (size_t i = 0; i < sizeof binary_key; i++) binary_key[i] = (uint8_t)i;
    assert_int_equal(token_verify(of_binary_key, TOKEN_LEN, binary_key, sizeof binary_key),
                     ERROR_NONE);
}

static enum error expected_for_len(size_t len) {
    if (len == 0) return ERROR_TOKEN_EMPTY;
    return len == TOKEN_LEN ? ERROR_NONE : ERROR_TOKEN_FORM;
}

static void every_truncation_is_of_a_bad_form_and_nothing_is_read_beyond_it(void **state) {
    (void)state;
    struct fence fence = fence_create(TOKEN_LEN);
    for (size_t len = 0; len <= TOKEN_LEN; len++) {
        const char *first = fence_before_end(fence, example, len);
        assert_int_equal(token_verify(first, len, SIGN_KEY), expected_for_len(len));
        const char *last = fence_after_start(fence, example + TOKEN_LEN - len, len);
        assert_int_equal(token_verify(last, len, SIGN_KEY), expected_for_len(len));
    }
    fence_free(fence);
}

static void every_extension_is_of_a_bad_form(void **state) {
    (void)state;
    char extended[4 * TOKEN_LEN];
    for (unsigned value = 0; value < 256; value++) {
        memset(extended, (int)value, sizeof extended);
        memcpy(extended, example, TOKEN_LEN);
        for (size_t len = TOKEN_LEN + 1; len <= sizeof extended; len++)
            assert_int_equal(token_verify(extended, len, SIGN_KEY), ERROR_TOKEN_FORM);
        memset(extended, (int)value, sizeof extended);
        memcpy(extended + 1, example, TOKEN_LEN);
        assert_int_equal(token_verify(extended, TOKEN_LEN + 1, SIGN_KEY), ERROR_TOKEN_FORM);
    }
}

static void check_every_change_of_a_byte(char token[TOKEN_LEN], const void *key, size_t key_len) {
    assert_int_equal(token_verify(token, TOKEN_LEN, key, key_len), ERROR_NONE);
    for (size_t at = 0; at < TOKEN_LEN; at++) {
        char right = token[at];
        for (unsigned value = 0; value < 256; value++) {
            if ((char)value == right) continue;
            token[at] = (char)value;
            enum error expected = fits(at, (uint8_t)value) ? ERROR_SIGNATURE : ERROR_TOKEN_FORM;
            enum error error = token_verify(token, TOKEN_LEN, key, key_len);
            if (error != expected)
                fail_msg("byte %zu as %u: \"%s\"", at, value, error_message(error));
        }
        token[at] = right;
    }
}

static void every_change_of_a_byte_is_refused_for_the_form_or_the_signature(void **state) {
    (void)state;
    char token[TOKEN_LEN];
    memcpy(token, example, TOKEN_LEN);
    check_every_change_of_a_byte(token, SIGN_KEY);
    token_mint(token, OTHER_SIGN_KEY);
    check_every_change_of_a_byte(token, OTHER_SIGN_KEY);
}

static void a_token_does_not_verify_with_another_sign_key(void **state) {
    (void)state;
    assert_int_equal(token_verify(example, TOKEN_LEN, OTHER_SIGN_KEY), ERROR_SIGNATURE);
    char key[sizeof sign_key - 1];
    for (size_t len = 1; len < sizeof key; len++)
        assert_int_equal(token_verify(example, TOKEN_LEN, sign_key, len), ERROR_SIGNATURE);
    for (size_t bit = 0; bit < 8 * sizeof key; bit++) {
        memcpy(key, sign_key, sizeof key);
        key[bit / 8] = (char)(key[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(token_verify(example, TOKEN_LEN, key, sizeof key), ERROR_SIGNATURE);
    }
}

static void the_signature_of_another_token_does_not_verify(void **state) {
    (void)state;
    char token[TOKEN_LEN];
    token_mint(token, SIGN_KEY);
    memcpy(token + DOT_AT, example + DOT_AT, TOKEN_LEN - DOT_AT);
    assert_int_equal(token_verify(token, TOKEN_LEN, SIGN_KEY), ERROR_SIGNATURE);
}

/* Around the 64 bytes of SHA-256's block, where HMAC begins to hash the key first. The keys are
 * full of NULs and differ in their last byte. */
static void sign_keys_of_any_length_sign_and_verify_and_are_read_to_their_last_byte(void **state) {
    (void)state;
    static const size_t lens[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000};
    uint8_t key[1000] = {0};
    struct fence fence = fence_create(sizeof key);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t len = lens[i];
        char token[TOKEN_LEN];
        key[len - 1] = 1;
        token_mint(token, fence_before_end(fence, key, len), len);
        assert_int_equal(token_verify(token, TOKEN_LEN, fence_after_start(fence, key, len), len),
                         ERROR_NONE);
        for (size_t at = 0; at < len; at++) {
            key[at] ^= 2;
            assert_int_equal(token_verify(token, TOKEN_LEN, key, len), ERROR_SIGNATURE);
            key[at] ^= 2;
        }
        check_every_change_of_a_byte(token, key, len);
        key[len - 1] = 0;
    }
    fence_free(fence);
}

/* RFC 2104 pads a sign key shorter than SHA-256's block with NULs. */
static void a_short_sign_key_signs_as_the_same_with_nuls_behind_it_does(void **state) {
    (void)state;
    char key[65] = "a short sign key";
    char token[TOKEN_LEN];
    token_mint(token, key, strlen(key));
    for (size_t len = strlen(key); len <= 64; len++)
        assert_int_equal(token_verify(token, TOKEN_LEN, key, len), ERROR_NONE);
    assert_int_equal(token_verify(token, TOKEN_LEN, key, 65), ERROR_SIGNATURE);
}

static const struct token_memory nothing;

static void assert_remembered(const struct token_memory *found, const struct token_memory *wanted) {
    assert_memory_equal(found, wanted, sizeof *found);
}

static void a_verified_pair_is_remembered_and_verifies_again(void **state) {
    (void)state;
    struct token_memory remembered = nothing;
    assert_int_equal(token_verify_once(&remembered, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    assert_memory_not_equal(&remembered, &nothing, sizeof nothing);
    struct token_memory first = remembered;
    for (int i = 0; i < 10; i++)
        assert_int_equal(token_verify_once(&remembered, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    assert_remembered(&remembered, &first);
}

/* Seen by a memory made by hand, of a pair that does not verify: no signature is computed for it.
 */
static void a_remembered_pair_is_taken_at_its_word(void **state) {
    (void)state;
    char forged[TOKEN_LEN];
    memcpy(forged, example, TOKEN_LEN);
    forged[TOKEN_LEN - 1] = '0';
    struct token_memory remembered;
    secret_fingerprint((uint8_t *)remembered.pair, SIGN_KEY);
    remembered.pair[0] ^= secret_name_hash(forged, TOKEN_LEN);
    assert_int_equal(token_verify(forged, TOKEN_LEN, SIGN_KEY), ERROR_SIGNATURE);
    assert_int_equal(token_verify_once(&remembered, forged, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
}

static void check_nothing_is_learnt(struct token_memory before, const char *token, size_t token_len,
                                    const void *key, size_t key_len) {
    struct token_memory remembered = before;
    enum error error = token_verify_once(&remembered, token, token_len, key, key_len);
    assert_int_not_equal(error, ERROR_NONE);
    assert_int_equal(error, token_verify(token, token_len, key, key_len));
    assert_remembered(&remembered, &before);
}

static void a_refused_pair_is_refused_as_ever_and_not_remembered(void **state) {
    (void)state;
    struct token_memory of_example = nothing;
    assert_int_equal(token_verify_once(&of_example, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    const struct token_memory memories[] = {nothing, of_example};
    for (size_t i = 0; i < 2; i++) {
        check_nothing_is_learnt(memories[i], example, TOKEN_LEN, OTHER_SIGN_KEY);
        check_nothing_is_learnt(memories[i], SIGN_KEY, example, TOKEN_LEN);
        check_nothing_is_learnt(memories[i], "", 0, SIGN_KEY);
        for (size_t len = 1; len < TOKEN_LEN; len++)
            check_nothing_is_learnt(memories[i], example, len, SIGN_KEY);
        for (size_t at = 0; at < TOKEN_LEN; at++) {
            char changed[TOKEN_LEN];
            memcpy(changed, example, TOKEN_LEN);
            changed[at] = example[at] == '1' ? '2' : '1';
            check_nothing_is_learnt(memories[i], changed, TOKEN_LEN, SIGN_KEY);
        }
    }
}

static void what_was_verified_for_a_token_does_not_open_another_of_its_sign_key(void **state) {
    (void)state;
    struct token_memory remembered = nothing;
    assert_int_equal(token_verify_once(&remembered, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    char other[TOKEN_LEN];
    token_mint(other, OTHER_SIGN_KEY);
    assert_int_equal(token_verify_once(&remembered, other, TOKEN_LEN, SIGN_KEY), ERROR_SIGNATURE);
    assert_int_equal(token_verify_once(&remembered, other, TOKEN_LEN, OTHER_SIGN_KEY), ERROR_NONE);
    assert_int_equal(token_verify_once(&remembered, other, TOKEN_LEN, SIGN_KEY), ERROR_SIGNATURE);
    assert_int_equal(token_verify_once(&remembered, example, TOKEN_LEN, OTHER_SIGN_KEY),
                     ERROR_SIGNATURE);
}

static void the_pair_that_verified_last_is_the_one_remembered(void **state) {
    (void)state;
    char other[TOKEN_LEN];
    token_mint(other, OTHER_SIGN_KEY);
    struct token_memory of_example = nothing, of_other = nothing, remembered = nothing;
    assert_int_equal(token_verify_once(&of_example, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
    assert_int_equal(token_verify_once(&of_other, other, TOKEN_LEN, OTHER_SIGN_KEY), ERROR_NONE);
    assert_memory_not_equal(&of_example, &of_other, sizeof of_other);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(token_verify_once(&remembered, example, TOKEN_LEN, SIGN_KEY), ERROR_NONE);
        assert_remembered(&remembered, &of_example);
        assert_int_equal(token_verify_once(&remembered, other, TOKEN_LEN, OTHER_SIGN_KEY),
                         ERROR_NONE);
        assert_remembered(&remembered, &of_other);
    }
}

static void a_verification_that_is_remembered_reads_nothing_beyond_its_arguments(void **state) {
    (void)state;
    struct fence tokens = fence_create(TOKEN_LEN), keys = fence_create(sizeof sign_key);
    const void *key = fence_before_end(keys, SIGN_KEY);
    struct token_memory remembered = nothing;
    for (size_t len = 1; len <= TOKEN_LEN; len++) {
        const char *token = fence_before_end(tokens, example, len);
        for (int i = 0; i < 2; i++)
            assert_int_equal(token_verify_once(&remembered, token, len, key, sizeof sign_key - 1),
                             expected_for_len(len));
    }
    fence_free(tokens);
    fence_free(keys);
}

static int start(void **state) {
    (void)state;
    return secret_start() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minted_token_has_the_form_and_verifies_with_its_sign_key),
        cmocka_unit_test(minting_writes_84_bytes_and_no_more),
        cmocka_unit_test(ids_are_uniform_at_every_place_and_never_repeat),
        cmocka_unit_test(tokens_signed_elsewhere_verify),
        cmocka_unit_test(every_truncation_is_of_a_bad_form_and_nothing_is_read_beyond_it),
        cmocka_unit_test(every_extension_is_of_a_bad_form),
        cmocka_unit_test(every_change_of_a_byte_is_refused_for_the_form_or_the_signature),
        cmocka_unit_test(a_token_does_not_verify_with_another_sign_key),
        cmocka_unit_test(the_signature_of_another_token_does_not_verify),
        cmocka_unit_test(sign_keys_of_any_length_sign_and_verify_and_are_read_to_their_last_byte),
        cmocka_unit_test(a_short_sign_key_signs_as_the_same_with_nuls_behind_it_does),
        cmocka_unit_test(a_verified_pair_is_remembered_and_verifies_again),
        cmocka_unit_test(a_remembered_pair_is_taken_at_its_word),
        cmocka_unit_test(a_refused_pair_is_refused_as_ever_and_not_remembered),
        cmocka_unit_test(what_was_verified_for_a_token_does_not_open_another_of_its_sign_key),
        cmocka_unit_test(the_pair_that_verified_last_is_the_one_remembered),
        cmocka_unit_test(a_verification_that_is_remembered_reads_nothing_beyond_its_arguments),
    };
    return cmocka_run_group_tests_name("token", tests, start, NULL);
}
