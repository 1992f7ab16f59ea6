/*
 * test_token.c - tokens: their forms, their signatures, and the memory of a verification.
 */
#include "support.h"

#include "pairhash.h"
#include "secret.h"
#include "slot.h"
#include "token.h"

#define ID_AT 3

static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

enum { ALPHANUMERIC = sizeof alphanumeric - 1 };

static const char sign_key[] = "an example sign key";
static const char other_sign_key[] = "another sign key";

#define SIGN_KEY sign_key, sizeof sign_key - 1
#define OTHER_SIGN_KEY other_sign_key, sizeof other_sign_key - 1

/* The two forms, each with a token under sign_key and one under the bytes 0 to 255 four times over.
 * Their signatures are by openssl and by Python's hmac:
 *     printf ExampleId0123456 | openssl dgst -sha256 -hmac 'an example sign key'
 *     printf v2.ExampleId0123456789AbC | openssl dgst -sha256 -hmac 'an example sign key' */
static const struct form {
    enum token_format format;
    size_t len;
    size_t dot_at; /* the second dot */
    size_t pad_at;
    const char *example;
    const char *of_binary_key;
} forms[] = {
    {TOKEN_V1, 84, 19, 84,
     "v1.ExampleId0123456.44f550696e57659efea0017e55ccbbb10cb18079af9d1617c3301c1eb54f1084",
     "v1.zZaA09zZaA09zZaA.c97af934b11a0cc21df6ada579a7d065cc94d5d15e0ce74e4d673d415d5d70b7"},
    {TOKEN_V2, 61, 25, 58, "v2.ExampleId0123456789AbC.ad3da2324af4c1ac7a3e1ea551fd2a26Pad",
     "v2.zZaA09zZaA09zZaA09zZaA.9b5d73832d0a024e8bc2d471d983d6a3000"},
};

#define FORMS_END (forms + sizeof forms / sizeof *forms)

/* What a token is that was right before that byte was changed to value. */
static enum error expected_of_change(const struct form *form, size_t at, uint8_t value) {
    if (at < ID_AT || at == form->dot_at) return ERROR_TOKEN_FORM;
    bool is_hex = (value >= '0' && value <= '9') || (value >= 'a' && value <= 'f');
    bool is_alphanumeric = memchr(alphanumeric, value, ALPHANUMERIC) != NULL;
    if (at >= form->pad_at) return is_alphanumeric ? ERROR_NONE : ERROR_TOKEN_FORM;
    return (at < form->dot_at ? is_alphanumeric : is_hex) ? ERROR_SIGNATURE : ERROR_TOKEN_FORM;
}

static enum error expected_of_len(const struct form *form, size_t len) {
    if (len == 0) return ERROR_TOKEN_EMPTY;
    return len == form->len ? ERROR_NONE : ERROR_TOKEN_FORM;
}

static void assert_verifies(const char *token, size_t len, const void *key, size_t key_len,
                            enum error expected) {
    bool has_form = expected == ERROR_NONE || expected == ERROR_SIGNATURE;
    assert_int_equal(token_verify(token, len, key, key_len), expected);
    assert_int_equal(token_has_form(token, len), has_form);
}

static void lengths_and_formats_are_the_published_ones(void **state) {
    (void)state;
    assert_int_equal(TOKEN_V1_LEN, 84);
    assert_int_equal(TOKEN_V2_LEN, 61);
    for (const struct form *form = forms; form < FORMS_END; form++) {
        assert_int_equal(strlen(form->example), form->len);
        assert_int_equal(token_len(form->format), form->len);
        assert_int_equal(token_format(form->len), form->format);
        assert_in_range(form->len, 1, TOKEN_MAX_LEN);
    }
}

static void a_minted_token_has_its_form_and_verifies_with_its_sign_key(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++)
        for (int i = 0; i < 1000; i++) {
            char token[TOKEN_MAX_LEN];
            token_mint(token, form->format, secret_signer(SIGN_KEY));
            assert_memory_equal(token, form->example, ID_AT);
            for (size_t at = ID_AT; at < form->len; at++)
                if (at == form->dot_at)
                    assert_int_equal(token[at], '.');
                else
                    assert_int_not_equal(expected_of_change(form, at, (uint8_t)token[at]),
                                         ERROR_TOKEN_FORM);
            assert_verifies(token, form->len, SIGN_KEY, ERROR_NONE);
        }
}

static void minting_writes_the_token_and_no_more(void **state) {
    (void)state;
    struct fence fence = fence_create(TOKEN_MAX_LEN);
    for (const struct form *form = forms; form < FORMS_END; form++) {
        char token[TOKEN_MAX_LEN + 1];
        token[form->len] = '#';
        token_mint(token, form->format, secret_signer(SIGN_KEY));
        assert_int_equal(token[form->len], '#');
        token_mint((char *)fence.end - form->len, form->format, secret_signer(SIGN_KEY));
    }
    fence_free(fence);
}

static int compare_tokens(const void *a, const void *b) {
    return memcmp(a, b, TOKEN_MAX_LEN);
}

/* With 61 degrees of freedom, a chi-square exceeds 180 once in 10^13 tries. */
static void ids_and_pads_are_uniform_at_every_place_and_ids_never_repeat(void **state) {
    (void)state;
    enum { TOKENS = 50000 };
    for (const struct form *form = forms; form < FORMS_END; form++) {
        static char tokens[TOKENS][TOKEN_MAX_LEN];
        size_t counts[TOKEN_MAX_LEN][ALPHANUMERIC] = {{0}}, all_counts[ALPHANUMERIC] = {0};
        for (size_t i = 0; i < TOKENS; i++) {
            token_mint(tokens[i], form->format, secret_signer(SIGN_KEY));
            for (size_t at = ID_AT; at < form->len; at++) {
                if (at >= form->dot_at && at < form->pad_at) continue;
                const char *found = memchr(alphanumeric, tokens[i][at], ALPHANUMERIC);
                assert_non_null(found);
                counts[at][found - alphanumeric]++;
                all_counts[found - alphanumeric]++;
            }
        }
        assert_true(chi_square(all_counts, ALPHANUMERIC) < 180);
        for (size_t at = ID_AT; at < form->len; at++)
            if (at < form->dot_at || at >= form->pad_at)
                assert_true(chi_square(counts[at], ALPHANUMERIC) < 180);

        qsort(tokens, TOKENS, TOKEN_MAX_LEN, compare_tokens);
        for (size_t i = 1; i < TOKENS; i++)
            assert_memory_not_equal(tokens[i - 1], tokens[i], form->dot_at);
    }
}

static void tokens_signed_elsewhere_verify(void **state) {
    (void)state;
    uint8_t binary_key[1024];
    for (size_t i = 0; i < sizeof binary_key; i++) binary_key[i] = (uint8_t)i;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        assert_verifies(form->example, form->len, SIGN_KEY, ERROR_NONE);
        assert_verifies(form->of_binary_key, form->len, binary_key, sizeof binary_key, ERROR_NONE);
    }
}

static void every_truncation_is_of_a_bad_form_and_nothing_is_read_beyond_it(void **state) {
    (void)state;
    struct fence fence = fence_create(TOKEN_MAX_LEN);
    for (const struct form *form = forms; form < FORMS_END; form++)
        for (size_t len = 0; len <= form->len; len++) {
            enum error expected = expected_of_len(form, len);
            const char *first = fence_before_end(fence, form->example, len);
            assert_verifies(first, len, SIGN_KEY, expected);
            const char *last = fence_after_start(fence, form->example + form->len - len, len);
            assert_verifies(last, len, SIGN_KEY, expected);
        }
    fence_free(fence);
}

static void every_extension_is_of_a_bad_form(void **state) {
    (void)state;
    char extended[300];
    for (const struct form *form = forms; form < FORMS_END; form++)
        for (unsigned value = 0; value < 256; value++) {
            memset(extended, (int)value, sizeof extended);
            memcpy(extended, form->example, form->len);
            for (size_t len = form->len + 1; len <= sizeof extended; len++)
                assert_verifies(extended, len, SIGN_KEY, ERROR_TOKEN_FORM);
            for (size_t before = 1; before + form->len <= 100; before++) {
                memset(extended, (int)value, before);
                memcpy(extended + before, form->example, form->len);
                assert_verifies(extended, before + form->len, SIGN_KEY, ERROR_TOKEN_FORM);
            }
        }
}

static void check_every_change_of_a_byte(const struct form *form, const char *right,
                                         const void *key, size_t key_len) {
    char token[TOKEN_MAX_LEN];
    memcpy(token, right, form->len);
    assert_verifies(token, form->len, key, key_len, ERROR_NONE);
    for (size_t at = 0; at < form->len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            if ((char)value == right[at]) continue;
            token[at] = (char)value;
            enum error expected = expected_of_change(form, at, (uint8_t)value);
            enum error error = token_verify(token, form->len, key, key_len);
            if (error != expected)
                fail_msg("byte %zu as %u: error %d for %d", at, value, (int)error, (int)expected);
        }
        token[at] = right[at];
    }
}

static void every_change_of_a_byte_but_the_pad_is_refused_for_form_or_signature(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        check_every_change_of_a_byte(form, form->example, SIGN_KEY);
        char token[TOKEN_MAX_LEN];
        token_mint(token, form->format, secret_signer(OTHER_SIGN_KEY));
        check_every_change_of_a_byte(form, token, OTHER_SIGN_KEY);
    }
}

static void a_token_does_not_verify_with_another_sign_key(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        assert_verifies(form->example, form->len, OTHER_SIGN_KEY, ERROR_SIGNATURE);
        char key[sizeof sign_key - 1];
        for (size_t len = 1; len < sizeof key; len++)
            assert_verifies(form->example, form->len, sign_key, len, ERROR_SIGNATURE);
        for (size_t bit = 0; bit < 8 * sizeof key; bit++) {
            memcpy(key, sign_key, sizeof key);
            key[bit / 8] = (char)(key[bit / 8] ^ (1 << bit % 8));
            assert_verifies(form->example, form->len, key, sizeof key, ERROR_SIGNATURE);
        }
    }
}

static void the_signature_of_another_token_does_not_verify(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        char token[TOKEN_MAX_LEN];
        token_mint(token, form->format, secret_signer(SIGN_KEY));
        memcpy(token + form->dot_at, form->example + form->dot_at, form->len - form->dot_at);
        assert_verifies(token, form->len, SIGN_KEY, ERROR_SIGNATURE);
    }
}

static void write_hex(char *text, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* A holder of a v1 token, and even whoever knew the whole HMAC that a v2 token shows the half of,
 * tries each id that shares characters with the other's. */
static void the_signature_of_one_format_is_of_no_use_in_the_other(void **state) {
    (void)state;
    const char *v1 = forms[0].example, *v2 = forms[1].example;
    for (size_t shift = 0; shift <= 6; shift++) {
        char token[TOKEN_V2_LEN];
        memcpy(token, v2, sizeof token);
        memcpy(token + ID_AT + shift, v1 + ID_AT, 16);
        memcpy(token + 26, v1 + 20, 32);
        assert_verifies(token, TOKEN_V2_LEN, SIGN_KEY, ERROR_SIGNATURE);
    }

    uint8_t mac[SECRET_MAC_LEN];
    secret_sign(mac, secret_signer(SIGN_KEY), v2, 25);
    for (size_t from = ID_AT; from + 16 <= 25; from++) {
        char token[TOKEN_V1_LEN] = "v1.";
        memcpy(token + ID_AT, v2 + from, 16);
        token[19] = '.';
        write_hex(token + 20, mac, sizeof mac);
        assert_verifies(token, TOKEN_V1_LEN, SIGN_KEY, ERROR_SIGNATURE);
    }
}

static void a_v2_token_can_be_steered_into_every_slot_and_still_verifies(void **state) {
    (void)state;
    char token[TOKEN_V2_LEN + 1], minted[TOKEN_MAX_LEN];
    token_mint(minted, TOKEN_V2, secret_signer(SIGN_KEY));
    memcpy(token, minted, TOKEN_V2_LEN);
    token[TOKEN_V2_LEN] = '#';
    for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
        token_steer(token, slot);
        assert_int_equal(slot_of(token, TOKEN_V2_LEN), slot);
        assert_memory_equal(token, minted, 58);
        assert_int_equal(token[TOKEN_V2_LEN], '#');
        assert_int_equal(token_verify(token, TOKEN_V2_LEN, SIGN_KEY), ERROR_NONE);
    }
}

/* Around the 64 bytes of SHA-256's block, where HMAC begins to hash the key first. The keys are
 * full of NULs. */
static void sign_keys_of_any_length_sign_and_verify_and_are_read_to_their_last_byte(void **state) {
    (void)state;
    static const size_t lens[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000};
    uint8_t key[1000] = {0};
    struct fence fence = fence_create(sizeof key);
    for (const struct form *form = forms; form < FORMS_END; form++)
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            size_t len = lens[i];
            char token[TOKEN_MAX_LEN];
            key[len - 1] = 1;
            token_mint(token, form->format, secret_signer(fence_before_end(fence, key, len), len));
            assert_verifies(token, form->len, fence_after_start(fence, key, len), len, ERROR_NONE);
            for (size_t at = 0; at < len; at++) {
                key[at] ^= 2;
                assert_verifies(token, form->len, key, len, ERROR_SIGNATURE);
                key[at] ^= 2;
            }
            check_every_change_of_a_byte(form, token, key, len);
            key[len - 1] = 0;
        }
    fence_free(fence);
}

/* RFC 2104 pads a sign key shorter than SHA-256's block with NULs. */
static void a_short_sign_key_signs_as_the_same_with_nuls_behind_it_does(void **state) {
    (void)state;
    char key[65] = "a short sign key";
    char token[TOKEN_MAX_LEN];
    token_mint(token, TOKEN_V1, secret_signer(key, strlen(key)));
    for (size_t len = strlen(key); len <= 64; len++)
        assert_verifies(token, TOKEN_V1_LEN, key, len, ERROR_NONE);
    assert_verifies(token, TOKEN_V1_LEN, key, 65, ERROR_SIGNATURE);
}

static const struct token_memory nothing;

static void assert_remembered(const struct token_memory *found, const struct token_memory *wanted) {
    assert_memory_equal(found, wanted, sizeof *found);
}

static enum error verify_once(struct token_memory *remembered, const struct form *form,
                              const char *token, const char *key) {
    return token_verify_once(remembered, token, form->len, key, strlen(key));
}

static void a_verified_pair_is_remembered_and_verifies_again(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        struct token_memory remembered = nothing;
        assert_int_equal(verify_once(&remembered, form, form->example, sign_key), ERROR_NONE);
        assert_memory_not_equal(&remembered, &nothing, sizeof nothing);
        struct token_memory first = remembered;
        for (int i = 0; i < 10; i++)
            assert_int_equal(verify_once(&remembered, form, form->example, sign_key), ERROR_NONE);
        assert_remembered(&remembered, &first);
    }
}

/* Made by hand, of a token whose signature is wrong: what it opens is opened without a signature.
 */
static struct token_memory memory_of_forged(char forged[TOKEN_MAX_LEN], const struct form *form) {
    struct token_memory memory;
    memcpy(forged, form->example, form->len);
    forged[form->dot_at + 1] = '0';
    assert_int_equal(token_verify(forged, form->len, SIGN_KEY), ERROR_SIGNATURE);
    pairhash(memory.pair, SIGN_KEY, forged, form->len);
    return memory;
}

static void no_signature_is_computed_for_a_remembered_pair(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        char forged[TOKEN_MAX_LEN];
        struct token_memory remembered = memory_of_forged(forged, form);
        assert_int_equal(verify_once(&remembered, form, forged, sign_key), ERROR_NONE);
    }
}

static void a_memory_that_differs_in_any_bit_opens_nothing(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        char forged[TOKEN_MAX_LEN];
        struct token_memory remembered = memory_of_forged(forged, form);
        for (size_t bit = 0; bit < 128; bit++) {
            remembered.pair[bit / 64] ^= UINT64_C(1) << bit % 64;
            assert_int_equal(verify_once(&remembered, form, forged, sign_key), ERROR_SIGNATURE);
            remembered.pair[bit / 64] ^= UINT64_C(1) << bit % 64;
        }
    }
}

static void check_nothing_is_learnt(struct token_memory before, const char *token, size_t len,
                                    const void *key, size_t key_len) {
    struct token_memory remembered = before;
    enum error error = token_verify_once(&remembered, token, len, key, key_len);
    assert_int_not_equal(error, ERROR_NONE);
    assert_int_equal(error, token_verify(token, len, key, key_len));
    assert_remembered(&remembered, &before);
}

static void a_refused_pair_is_refused_as_ever_and_not_remembered(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        struct token_memory of_example = nothing;
        assert_int_equal(verify_once(&of_example, form, form->example, sign_key), ERROR_NONE);
        const struct token_memory memories[] = {nothing, of_example};
        for (size_t i = 0; i < 2; i++) {
            check_nothing_is_learnt(memories[i], form->example, form->len, OTHER_SIGN_KEY);
            check_nothing_is_learnt(memories[i], SIGN_KEY, form->example, form->len);
            check_nothing_is_learnt(memories[i], "", 0, SIGN_KEY);
            for (size_t len = 1; len < form->len; len++)
                check_nothing_is_learnt(memories[i], form->example, len, SIGN_KEY);
            for (size_t at = 0; at < form->pad_at; at++) {
                char changed[TOKEN_MAX_LEN];
                memcpy(changed, form->example, form->len);
                changed[at] = changed[at] == '1' ? '2' : '1';
                check_nothing_is_learnt(memories[i], changed, form->len, SIGN_KEY);
            }
        }
    }
}

static void what_is_longer_than_any_token_is_refused_without_a_look_at_it(void **state) {
    (void)state;
    static const char text[1000];
    for (size_t len = TOKEN_MAX_LEN + 1; len <= sizeof text; len++)
        check_nothing_is_learnt(nothing, text, len, SIGN_KEY);
}

static void what_was_verified_for_a_token_does_not_open_another(void **state) {
    (void)state;
    for (const struct form *form = forms; form < FORMS_END; form++) {
        const char *example = form->example;
        struct token_memory remembered = nothing;
        char other[TOKEN_MAX_LEN];
        token_mint(other, form->format, secret_signer(OTHER_SIGN_KEY));
        assert_int_equal(verify_once(&remembered, form, example, sign_key), ERROR_NONE);
        assert_int_equal(verify_once(&remembered, form, other, sign_key), ERROR_SIGNATURE);
        assert_int_equal(verify_once(&remembered, form, other, other_sign_key), ERROR_NONE);
        assert_int_equal(verify_once(&remembered, form, other, sign_key), ERROR_SIGNATURE);
        assert_int_equal(verify_once(&remembered, form, example, other_sign_key), ERROR_SIGNATURE);
    }
}

static void the_pair_that_verified_last_is_the_one_remembered(void **state) {
    (void)state;
    const struct form *v1 = &forms[0], *v2 = &forms[1];
    struct token_memory of_v1 = nothing, of_v2 = nothing, remembered = nothing;
    assert_int_equal(verify_once(&of_v1, v1, v1->example, sign_key), ERROR_NONE);
    assert_int_equal(verify_once(&of_v2, v2, v2->example, sign_key), ERROR_NONE);
    assert_memory_not_equal(&of_v1, &of_v2, sizeof of_v2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verify_once(&remembered, v1, v1->example, sign_key), ERROR_NONE);
        assert_remembered(&remembered, &of_v1);
        assert_int_equal(verify_once(&remembered, v2, v2->example, sign_key), ERROR_NONE);
        assert_remembered(&remembered, &of_v2);
    }
}

static void a_token_with_another_pad_is_another_pair(void **state) {
    (void)state;
    const struct form *v2 = &forms[1];
    struct token_memory remembered = nothing, of_example;
    assert_int_equal(verify_once(&remembered, v2, v2->example, sign_key), ERROR_NONE);
    of_example = remembered;
    char steered[TOKEN_V2_LEN];
    memcpy(steered, v2->example, TOKEN_V2_LEN);
    token_steer(steered, (uint16_t)(slot_of(v2->example, TOKEN_V2_LEN) ^ 1));
    assert_int_equal(verify_once(&remembered, v2, steered, sign_key), ERROR_NONE);
    assert_memory_not_equal(&remembered, &of_example, sizeof of_example);
}

static void a_verification_that_is_remembered_reads_nothing_beyond_its_arguments(void **state) {
    (void)state;
    struct fence tokens = fence_create(TOKEN_MAX_LEN), keys = fence_create(sizeof sign_key);
    const void *key = fence_before_end(keys, SIGN_KEY);
    for (const struct form *form = forms; form < FORMS_END; form++) {
        struct token_memory remembered = nothing;
        for (size_t len = 1; len <= form->len; len++) {
            const char *token = fence_before_end(tokens, form->example, len);
            for (int i = 0; i < 2; i++)
                assert_int_equal(
                    token_verify_once(&remembered, token, len, key, sizeof sign_key - 1),
                    expected_of_len(form, len));
        }
    }
    fence_free(tokens);
    fence_free(keys);
}

static void a_v2_token_unpacks_to_what_it_was_packed_from(void **state) {
    (void)state;
    struct fence packed = fence_create(TOKEN_PACKED_LEN), tokens = fence_create(TOKEN_V2_LEN);
    uint8_t *bytes = packed.end - TOKEN_PACKED_LEN;
    char *unpacked = (char *)tokens.end - TOKEN_V2_LEN;
    for (int i = 0; i < 1000; i++) {
        char token[TOKEN_MAX_LEN];
        token_mint(token, TOKEN_V2, secret_signer(SIGN_KEY));
        token_pack(bytes, token);
        token_unpack(unpacked, bytes);
        assert_memory_equal(unpacked, token, TOKEN_V2_LEN);
    }
    fence_free(packed);
    fence_free(tokens);
}

static void what_was_packed_from_no_token_unpacks_to_none(void **state) {
    (void)state;
    uint8_t packed[TOKEN_PACKED_LEN] = {0};
    char token[TOKEN_V2_LEN];
    token_unpack(token, packed);
    assert_false(token_has_form(token, sizeof token));
    token_pack(packed, forms[1].example);
    packed[TOKEN_PACKED_LEN - 1] = '.';
    token_unpack(token, packed);
    assert_false(token_has_form(token, sizeof token));
}

static int start(void **state) {
    (void)state;
    return secret_start() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_formats_are_the_published_ones),
        cmocka_unit_test(a_minted_token_has_its_form_and_verifies_with_its_sign_key),
        cmocka_unit_test(minting_writes_the_token_and_no_more),
        cmocka_unit_test(ids_and_pads_are_uniform_at_every_place_and_ids_never_repeat),
        cmocka_unit_test(tokens_signed_elsewhere_verify),
        cmocka_unit_test(every_truncation_is_of_a_bad_form_and_nothing_is_read_beyond_it),
        cmocka_unit_test(every_extension_is_of_a_bad_form),
        cmocka_unit_test(every_change_of_a_byte_but_the_pad_is_refused_for_form_or_signature),
        cmocka_unit_test(a_token_does_not_verify_with_another_sign_key),
        cmocka_unit_test(the_signature_of_another_token_does_not_verify),
        cmocka_unit_test(the_signature_of_one_format_is_of_no_use_in_the_other),
        cmocka_unit_test(a_v2_token_can_be_steered_into_every_slot_and_still_verifies),
        cmocka_unit_test(sign_keys_of_any_length_sign_and_verify_and_are_read_to_their_last_byte),
        cmocka_unit_test(a_short_sign_key_signs_as_the_same_with_nuls_behind_it_does),
        cmocka_unit_test(a_verified_pair_is_remembered_and_verifies_again),
        cmocka_unit_test(no_signature_is_computed_for_a_remembered_pair),
        cmocka_unit_test(a_memory_that_differs_in_any_bit_opens_nothing),
        cmocka_unit_test(a_refused_pair_is_refused_as_ever_and_not_remembered),
        cmocka_unit_test(what_is_longer_than_any_token_is_refused_without_a_look_at_it),
        cmocka_unit_test(what_was_verified_for_a_token_does_not_open_another),
        cmocka_unit_test(the_pair_that_verified_last_is_the_one_remembered),
        cmocka_unit_test(a_token_with_another_pad_is_another_pair),
        cmocka_unit_test(a_verification_that_is_remembered_reads_nothing_beyond_its_arguments),
        cmocka_unit_test(a_v2_token_unpacks_to_what_it_was_packed_from),
        cmocka_unit_test(what_was_packed_from_no_token_unpacks_to_none),
    };
    return cmocka_run_group_tests_name("token", tests, start, NULL);
}
