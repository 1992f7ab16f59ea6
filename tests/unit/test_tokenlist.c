/*
 * test_tokenlist.c - a list of tokens, change by change, and bytes that are taken for one.
 */
#include "session_support.h"

#include "slot.h"
#include "tokenlist.h"

#define MANY 300

static char tokens[MANY][TOKEN_MAX_LEN];

/* That the list has these tokens, in this order, and takes the memory of them and no more. */
static void assert_is(const struct tokenlist *list, const char *const *expected, uint32_t len) {
    assert_int_equal(list->len, len);
    for (uint32_t place = 0; place < len; place++) {
        char token[TOKEN_V2_LEN];
        tokenlist_get(list, place, token);
        assert_memory_equal(token, expected[place], sizeof token);
        assert_true(tokenlist_has(list, expected[place]));
    }
    assert_int_equal(counted.bytes, len * TOKEN_PACKED_LEN);
    assert_int_equal(list->packed == NULL, len == 0);
}
#define ASSERT_IS(list, ...)                            \
    assert_is(list, (const char *const[]){__VA_ARGS__}, \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static struct tokenlist list_of(uint32_t len) {
    struct tokenlist list = {0};
    for (uint32_t i = 0; i < len; i++) assert_true(tokenlist_add(&list, tokens[i]));
    return list;
}

static void an_empty_list_has_nothing_and_takes_no_memory(void **state) {
    (void)state;
    struct tokenlist list = {0};
    assert_is(&list, NULL, 0);
    assert_false(tokenlist_has(&list, tokens[0]));
    assert_false(tokenlist_remove(&list, tokens[0]));
    struct tokenlist copy = tokenlist_copy(&list);
    assert_is(&copy, NULL, 0);
    tokenlist_free(&list);
    tokenlist_free(&list);
}

static void a_token_is_put_last_and_once(void **state) {
    (void)state;
    struct tokenlist list = {0};
    assert_true(tokenlist_add(&list, tokens[1]));
    assert_true(tokenlist_add(&list, tokens[0]));
    assert_false(tokenlist_add(&list, tokens[1]));
    assert_true(tokenlist_add(&list, tokens[2]));
    ASSERT_IS(&list, tokens[1], tokens[0], tokens[2]);
    assert_false(tokenlist_has(&list, tokens[3]));
    tokenlist_free(&list);
    assert_is(&list, NULL, 0);
}

static void tokens_that_differ_in_the_pad_alone_are_two(void **state) {
    (void)state;
    char other[TOKEN_V2_LEN];
    memcpy(other, tokens[0], sizeof other);
    token_steer(other, (uint16_t)(slot_of(other, sizeof other) ^ 1));
    struct tokenlist list = list_of(1);
    assert_false(tokenlist_has(&list, other));
    assert_true(tokenlist_add(&list, other));
    ASSERT_IS(&list, tokens[0], other);
    tokenlist_free(&list);
}

static void a_token_is_removed_wherever_it_is_and_the_others_keep_their_order(void **state) {
    (void)state;
    struct tokenlist list = list_of(5);
    assert_true(tokenlist_remove(&list, tokens[2]));
    assert_false(tokenlist_remove(&list, tokens[2]));
    ASSERT_IS(&list, tokens[0], tokens[1], tokens[3], tokens[4]);
    assert_true(tokenlist_remove(&list, tokens[0]));
    assert_true(tokenlist_remove(&list, tokens[4]));
    ASSERT_IS(&list, tokens[1], tokens[3]);
    assert_true(tokenlist_remove(&list, tokens[1]));
    assert_true(tokenlist_remove(&list, tokens[3]));
    assert_is(&list, NULL, 0);
}

static void a_token_takes_the_place_of_an_old_one(void **state) {
    (void)state;
    struct tokenlist list = list_of(3);
    tokenlist_replace(&list, tokens[1], tokens[7]);
    ASSERT_IS(&list, tokens[0], tokens[7], tokens[2]);
    tokenlist_replace(&list, tokens[0], tokens[0]);
    ASSERT_IS(&list, tokens[0], tokens[7], tokens[2]);
    tokenlist_free(&list);
}

static void a_token_whose_old_one_is_not_there_is_put_last(void **state) {
    (void)state;
    struct tokenlist list = {0};
    tokenlist_replace(&list, tokens[5], tokens[0]);
    tokenlist_replace(&list, tokens[5], tokens[1]);
    tokenlist_replace(&list, tokens[2], tokens[2]);
    ASSERT_IS(&list, tokens[0], tokens[1], tokens[2]);
    tokenlist_free(&list);
}

static void a_token_that_is_there_replaces_nothing(void **state) {
    (void)state;
    struct tokenlist list = list_of(3);
    tokenlist_replace(&list, tokens[0], tokens[2]);
    tokenlist_replace(&list, tokens[9], tokens[1]);
    ASSERT_IS(&list, tokens[0], tokens[1], tokens[2]);
    tokenlist_free(&list);
}

static void a_copy_lives_on_its_own(void **state) {
    (void)state;
    struct tokenlist list = list_of(3), copy = tokenlist_copy(&list);
    assert_ptr_not_equal(copy.packed, list.packed);
    tokenlist_free(&list);
    ASSERT_IS(&copy, tokens[0], tokens[1], tokens[2]);
    tokenlist_free(&copy);
}

/* A token for each number, without the cost of a signature. */
static void numbered_token(char token[TOKEN_MAX_LEN], uint32_t number) {
    memcpy(token, tokens[0], TOKEN_MAX_LEN);
    for (int at = 3; at < 8; at++, number /= 10) token[at] = (char)('0' + number % 10);
}

static void a_list_that_is_full_takes_no_more(void **state) {
    (void)state;
    char token[TOKEN_MAX_LEN];
    struct tokenlist list = {0};
    list.packed = memory.alloc((size_t)TOKENLIST_MAX * TOKEN_PACKED_LEN);
    for (; list.len < TOKENLIST_MAX; list.len++) {
        numbered_token(token, list.len);
        token_pack(list.packed[list.len], token);
    }
    struct tokenlist loaded;
    assert_true(tokenlist_load(&loaded, *list.packed, (size_t)TOKENLIST_MAX * TOKEN_PACKED_LEN));
    tokenlist_free(&loaded);

    numbered_token(token, TOKENLIST_MAX);
    assert_false(tokenlist_add(&list, token));
    tokenlist_replace(&list, token, token);
    assert_false(tokenlist_has(&list, token));
    assert_int_equal(list.len, TOKENLIST_MAX);
    char last[TOKEN_MAX_LEN];
    numbered_token(last, TOKENLIST_MAX - 1);
    tokenlist_replace(&list, last, token);
    assert_true(tokenlist_has(&list, token));
    tokenlist_free(&list);
}

static void more_tokens_than_a_list_takes_are_no_list(void **state) {
    (void)state;
    size_t bytes_len = ((size_t)TOKENLIST_MAX + 1) * TOKEN_PACKED_LEN;
    uint8_t(*packed)[TOKEN_PACKED_LEN] = test_malloc(bytes_len);
    for (uint32_t i = 0; i <= TOKENLIST_MAX; i++) {
        char token[TOKEN_MAX_LEN];
        numbered_token(token, i);
        token_pack(packed[i], token);
    }
    struct tokenlist list;
    assert_false(tokenlist_load(&list, *packed, bytes_len));
    assert_is(&list, NULL, 0);
    test_free(packed);
}

/* Whether the bytes are taken, which lie against a page that cannot be read. What is taken are
 * these very bytes, and each of its tokens has the form of one; what is refused leaves nothing. */
static bool loads(struct fence fence, const void *bytes, size_t len) {
    struct tokenlist list;
    bool taken = tokenlist_load(&list, fence_before_end(fence, bytes, len), len);
    assert_int_equal(counted.bytes, taken ? len : 0);
    if (taken) assert_memory_equal(list.packed, bytes, len);
    for (uint32_t place = 0; place < list.len; place++) {
        char token[TOKEN_V2_LEN];
        tokenlist_get(&list, place, token);
        assert_true(token_has_form(token, sizeof token));
    }
    tokenlist_free(&list);
    return taken;
}

static void a_list_is_loaded_from_its_own_bytes(void **state) {
    (void)state;
    struct tokenlist list = list_of(MANY), loaded;
    assert_true(tokenlist_load(&loaded, *list.packed, (size_t)MANY * TOKEN_PACKED_LEN));
    tokenlist_free(&list);
    const char *expected[MANY];
    for (size_t i = 0; i < MANY; i++) expected[i] = tokens[i];
    assert_is(&loaded, expected, MANY);
    tokenlist_free(&loaded);
}

/* What files hold: these bytes never change. */
static void a_token_is_its_id_its_signature_in_binary_and_its_pad(void **state) {
    (void)state;
    static const char token[] = "v2.ExampleId0123456789AbC.ad3da2324af4c1ac7a3e1ea551fd2a26Pad";
    static const uint8_t published[] = "ExampleId0123456789AbC"
                                       "\xad\x3d\xa2\x32\x4a\xf4\xc1\xac"
                                       "\x7a\x3e\x1e\xa5\x51\xfd\x2a\x26"
                                       "Pad";
    assert_int_equal(sizeof published - 1, TOKEN_PACKED_LEN);
    struct tokenlist list = {0}, loaded;
    assert_true(tokenlist_add(&list, token));
    assert_memory_equal(list.packed, published, TOKEN_PACKED_LEN);
    tokenlist_free(&list);
    assert_true(tokenlist_load(&loaded, published, TOKEN_PACKED_LEN));
    ASSERT_IS(&loaded, token);
    tokenlist_free(&loaded);
}

static void bytes_cut_anywhere_but_between_tokens_are_no_list(void **state) {
    (void)state;
    struct fence fence = fence_create((size_t)4 * TOKEN_PACKED_LEN);
    uint8_t bytes[4][TOKEN_PACKED_LEN];
    for (size_t i = 0; i < 4; i++) token_pack(bytes[i], tokens[i]);
    for (size_t len = 0; len <= sizeof bytes; len++)
        assert_int_equal(loads(fence, bytes, len), len > 0 && len % TOKEN_PACKED_LEN == 0);
    for (size_t from = 1; from < sizeof bytes; from++)
        assert_int_equal(loads(fence, *bytes + from, sizeof bytes - from),
                         from % TOKEN_PACKED_LEN == 0);
    fence_free(fence);
}

/* Of a byte of an id or a pad 62 values, of one of a signature all; that neither token becomes the
 * other one is sure. */
static void a_changed_byte_is_refused_unless_it_makes_another_token(void **state) {
    (void)state;
    struct fence fence = fence_create((size_t)2 * TOKEN_PACKED_LEN);
    uint8_t bytes[2][TOKEN_PACKED_LEN];
    for (size_t i = 0; i < 2; i++) token_pack(bytes[i], tokens[i]);
    for (size_t at = 0; at < sizeof bytes; at++) {
        uint8_t *byte = *bytes + at, right = *byte;
        unsigned taken = 0;
        for (unsigned value = 0; value < 256; value++) {
            *byte = (uint8_t)value;
            taken += loads(fence, bytes, sizeof bytes);
        }
        *byte = right;
        size_t in_token = at % TOKEN_PACKED_LEN;
        assert_int_equal(taken, in_token >= 22 && in_token < 38 ? 256 : 62);
    }
    fence_free(fence);
}

static void a_token_twice_is_no_list_wherever_the_two_are(void **state) {
    (void)state;
    enum { LEN = 20 };
    struct fence fence = fence_create((size_t)LEN * TOKEN_PACKED_LEN);
    uint8_t bytes[LEN][TOKEN_PACKED_LEN];
    for (size_t one = 0; one < LEN; one++)
        for (size_t other = 0; other < LEN; other++) {
            for (size_t i = 0; i < LEN; i++) token_pack(bytes[i], tokens[i]);
            token_pack(bytes[other], tokens[one]);
            assert_int_equal(loads(fence, bytes, sizeof bytes), one == other);
        }
    fence_free(fence);
}

/* The model: the tokens' numbers, in order. */
static struct {
    uint32_t numbers[MANY];
    uint32_t len;
} model;

static uint32_t model_place(uint32_t number) {
    uint32_t place = 0;
    while (place < model.len && model.numbers[place] != number) place++;
    return place;
}

static void model_add(uint32_t number) {
    if (model_place(number) == model.len) model.numbers[model.len++] = number;
}

static void model_remove(uint32_t number) {
    uint32_t place = model_place(number);
    if (place == model.len) return;
    model.len--;
    for (; place < model.len; place++) model.numbers[place] = model.numbers[place + 1];
}

static void model_replace(uint32_t old, uint32_t number) {
    bool is_there = model_place(number) < model.len;
    if (!is_there && model_place(old) < model.len)
        model.numbers[model_place(old)] = number;
    else
        model_add(number);
}

static void random_operations_agree_with_a_model(void **state) {
    (void)state;
    struct random random = random_seeded();
    struct tokenlist list = {0};
    for (int i = 0; i < 20000; i++) {
        /* Names from a few and from many: lists that are full of what is asked, and nearly empty.
         */
        uint32_t names = i / 2000 % 2 ? 6 : MANY;
        uint32_t one = random_below(&random, names), other = random_below(&random, names);
        switch (random_below(&random, 4)) {
        case 0:
            assert_int_equal(tokenlist_add(&list, tokens[one]), model_place(one) == model.len);
            model_add(one);
            break;
        case 1:
            tokenlist_replace(&list, tokens[one], tokens[other]);
            model_replace(one, other);
            break;
        default:
            assert_int_equal(tokenlist_remove(&list, tokens[one]), model_place(one) < model.len);
            model_remove(one);
        }
        const char *expected[MANY];
        for (uint32_t place = 0; place < model.len; place++)
            expected[place] = tokens[model.numbers[place]];
        assert_is(&list, expected, model.len);
        assert_int_equal(tokenlist_has(&list, tokens[other]), model_place(other) < model.len);
    }
    tokenlist_free(&list);
}

static int start(void **state) {
    int started = start_counting(state);
    for (size_t i = 0; i < MANY && started == 0; i++)
        token_mint(tokens[i], TOKEN_V2, secret_signer("a sign key", 10));
    return started;
}

int main(void) {
#define LIST_TEST(test) cmocka_unit_test_teardown(test, nothing_is_left)
    const struct CMUnitTest tests[] = {
        LIST_TEST(an_empty_list_has_nothing_and_takes_no_memory),
        LIST_TEST(a_token_is_put_last_and_once),
        LIST_TEST(tokens_that_differ_in_the_pad_alone_are_two),
        LIST_TEST(a_token_is_removed_wherever_it_is_and_the_others_keep_their_order),
        LIST_TEST(a_token_takes_the_place_of_an_old_one),
        LIST_TEST(a_token_whose_old_one_is_not_there_is_put_last),
        LIST_TEST(a_token_that_is_there_replaces_nothing),
        LIST_TEST(a_copy_lives_on_its_own),
        LIST_TEST(a_list_that_is_full_takes_no_more),
        LIST_TEST(more_tokens_than_a_list_takes_are_no_list),
        LIST_TEST(a_list_is_loaded_from_its_own_bytes),
        LIST_TEST(a_token_is_its_id_its_signature_in_binary_and_its_pad),
        LIST_TEST(bytes_cut_anywhere_but_between_tokens_are_no_list),
        LIST_TEST(a_changed_byte_is_refused_unless_it_makes_another_token),
        LIST_TEST(a_token_twice_is_no_list_wherever_the_two_are),
        LIST_TEST(random_operations_agree_with_a_model),
    };
    return cmocka_run_group_tests_name("tokenlist", tests, start, NULL);
}
