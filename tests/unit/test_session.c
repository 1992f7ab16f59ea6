/*
 * test_session.c - the payloads of a session, one by one and against a model.
 */
#include "session_support.h"

static void a_new_session_has_no_payloads(void **state) {
    (void)state;
    struct session *session = session_create();
    static const struct token_memory nothing;
    assert_int_equal(session_payloads(session), 0);
    assert_int_equal(session_payload_bytes(session), 0);
    assert_memory_equal(&session->verified, &nothing, sizeof nothing);
    assert_false(has(session, "name", 4));
    assert_false(session_delete(session, "name", 4));
    assert_whole(session);
    session_free(session);
}

static void freeing_no_session_is_no_fault(void **state) {
    (void)state;
    session_free(NULL);
}

static void a_payload_that_is_put_can_be_got_and_deleted_once(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_true(put_text(session, "colour", "green"));
    assert_text(session, "colour", "green");
    assert_int_equal(session_payloads(session), 1);
    assert_int_equal(session_payload_bytes(session), 11);
    assert_false(has(session, "colou", 5));
    assert_false(has(session, "colours", 7));
    assert_false(has(session, "Colour", 6));
    assert_false(session_delete(session, "colou", 5));
    assert_true(session_delete(session, "colour", 6));
    assert_false(session_delete(session, "colour", 6));
    assert_false(has(session, "colour", 6));
    assert_int_equal(session_payloads(session), 0);
    assert_int_equal(session_payload_bytes(session), 0);
    session_free(session);
}

static void putting_a_name_again_replaces_its_data_by_shorter_longer_and_as_long(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_true(put_text(session, "before", "1"));
    assert_true(put_text(session, "name", "some data"));
    assert_true(put_text(session, "after", "2"));
    static const char *const data[] = {"short", "quite a lot more data", "as much data as before"};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        assert_false(put_text(session, "name", data[i]));
        assert_text(session, "name", data[i]);
        assert_text(session, "before", "1");
        assert_text(session, "after", "2");
        assert_int_equal(session_payloads(session), 3);
        assert_int_equal(session_payload_bytes(session), 7 + 4 + strlen(data[i]) + 6);
        assert_int_equal(session_memory(session), counted.bytes);
    }
    session_free(session);
}

static void names_and_data_are_bytes_nul_and_all(void **state) {
    (void)state;
    struct session *session = session_create();
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    assert_true(put_bytes(session, bytes, sizeof bytes, bytes, sizeof bytes));
    assert_true(put_bytes(session, "", 1, "\0\0", 2));
    assert_true(put_bytes(session, "\0", 2, "", 1));
    assert_true(put_bytes(session, "\0a", 2, "x\0y", 3));
    assert_true(put_bytes(session, "\0b", 2, "x\0z", 3));
    assert_payload(session, bytes, sizeof bytes, bytes, sizeof bytes);
    assert_payload(session, "", 1, "\0\0", 2);
    assert_payload(session, "\0", 2, "", 1);
    assert_payload(session, "\0a", 2, "x\0y", 3);
    assert_payload(session, "\0b", 2, "x\0z", 3);
    assert_whole(session);
    session_free(session);
}

static void a_name_ends_where_it_ends_whatever_data_follows_it(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_true(put_text(session, "ab", "cd"));
    assert_true(put_text(session, "abc", "d"));
    assert_true(put_text(session, "a", "bcd"));
    assert_text(session, "ab", "cd");
    assert_text(session, "abc", "d");
    assert_text(session, "a", "bcd");
    assert_false(has(session, "abcd", 4));
    session_free(session);
}

static void name_and_data_are_read_to_their_ends_only(void **state) {
    (void)state;
    struct fence names = fence_create(200), data = fence_create(200);
    static const uint8_t bytes[200] = {1, 2, 3};
    struct session *session = session_create();
    for (size_t len = 1; len <= sizeof bytes; len++) {
        const void *name = fence_before_end(names, bytes, len);
        assert_true(put_bytes(session, name, len, fence_before_end(data, bytes, len), len));
        assert_payload(session, name, len, bytes, len);
    }
    for (size_t len = 1; len <= sizeof bytes; len++)
        assert_true(session_delete(session, fence_before_end(names, bytes, len), len));
    session_free(session);
    fence_free(names);
    fence_free(data);
}

static void the_longest_name_and_large_data_are_kept_whole(void **state) {
    (void)state;
    enum { DATA_LEN = 8000000 };
    uint8_t *name = test_malloc(SESSION_NAME_MAX), *data = test_malloc(DATA_LEN);
    for (size_t i = 0; i < SESSION_NAME_MAX; i++) name[i] = (uint8_t)(i % 251);
    for (size_t i = 0; i < DATA_LEN; i++) data[i] = (uint8_t)(i % 253);
    struct session *session = session_create();
    assert_true(put_bytes(session, name, SESSION_NAME_MAX, "small", 5));
    assert_false(put_bytes(session, name, SESSION_NAME_MAX, data, DATA_LEN));
    assert_payload(session, name, SESSION_NAME_MAX, data, DATA_LEN);
    assert_int_equal(session_memory(session), counted.bytes);
    session_free(session);
    test_free(name);
    test_free(data);
}

static void sixteen_small_payloads_are_one_block_and_seventeen_a_table(void **state) {
    (void)state;
    struct session *session = session_create();
    size_t blocks = counted.blocks;
    for (const char *name = "abcdefghijklmnop"; *name; name++) {
        put_bytes(session, name, 1, "data", 4);
        assert_int_equal(counted.blocks, blocks + 1);
    }
    assert_int_equal(session_buckets(session), 0);
    put_bytes(session, "q", 1, "data", 4);
    assert_int_equal(session_buckets(session), 17);
    assert_int_equal(counted.blocks, blocks + 2 + 17);
    session_free(session);
}

/* A first payload of 4005 bytes with its lengths, and one of 91, fill the 4096 of a block. */
static void payloads_leave_their_block_when_they_no_longer_fit(void **state) {
    (void)state;
    static const uint8_t data[4097];
    for (size_t second = 87; second <= 88; second++) {
        struct session *session = session_create();
        assert_true(put_bytes(session, "a", 1, data, 4001));
        assert_true(put_bytes(session, "bc", 2, data, second));
        assert_int_equal(session_buckets(session) > 0, second > 87);
        assert_payload(session, "a", 1, data, 4001);
        assert_payload(session, "bc", 2, data, second);
        assert_false(put_bytes(session, "bc", 2, data, 89));
        assert_int_equal(session_buckets(session), 2);
        assert_payload(session, "bc", 2, data, 89);
        assert_whole(session);
        assert_int_equal(session_memory(session), counted.bytes);
        session_free(session);

        session = session_create();
        assert_true(put_bytes(session, "large", 5, data, 4001 + second));
        assert_int_equal(session_buckets(session) > 0, second > 87);
        assert_payload(session, "large", 5, data, 4001 + second);
        session_free(session);
    }
}

static void the_table_is_given_back_when_the_last_payload_goes(void **state) {
    (void)state;
    struct session *session = session_create();
    size_t empty = counted.bytes;
    for (uint32_t n = 0; n < 5000; n++) put_bytes(session, &n, sizeof n, "data", 4);
    for (uint32_t n = 0; n < 5000; n++) assert_true(session_delete(session, &n, sizeof n));
    assert_int_equal(counted.bytes, empty);
    assert_int_equal(session_memory(session), empty);
    session_free(session);
}

enum policy { MOVE_ALL, MOVE_NONE, MOVE_HALF };

/* A mover: which blocks it moves, and how many it was asked to move. */
struct moves {
    enum policy policy;
    size_t asked;
};

static void *move_block(void *context, void *block) {
    struct moves *moves = context;
    moves->asked++;
    if (moves->policy == MOVE_NONE || (moves->policy == MOVE_HALF && moves->asked % 2)) return NULL;
    return counting_move(block, ((union counted_block *)block - 1)->size);
}

static void three_hundred_thousand_payloads_stay_right_and_in_short_chains(void **state) {
    (void)state;
    enum { PAYLOADS = 300000 };
    struct session *session = session_of_numbers(PAYLOADS);
    assert_int_equal(session_payloads(session), PAYLOADS);
    assert_whole(session);
    assert_int_equal(session_memory(session), counted.bytes);
    for (uint32_t n = 0; n < PAYLOADS; n++)
        assert_payload(session, &n, sizeof n, "numbers", 1 + n % 7);
    uint32_t absent = PAYLOADS;
    assert_false(has(session, &absent, sizeof absent));

    /* As many buckets as payloads: with a hash that spreads, 30 in one has no chance to be seen. */
    assert_in_range(session_buckets(session), PAYLOADS, 2 * PAYLOADS);
    for (uint32_t bucket = 0; bucket < session_buckets(session); bucket++) {
        struct moves moves = {MOVE_NONE, 0};
        session_move_bucket(session, bucket, move_block, &moves);
        assert_in_range(moves.asked, 0, 30);
    }

    for (uint32_t n = 0; n < PAYLOADS; n += 2) assert_true(session_delete(session, &n, sizeof n));
    for (uint32_t n = 0; n < PAYLOADS; n++) assert_int_equal(has(session, &n, sizeof n), n % 2);
    assert_whole(session);
    for (uint32_t n = 1; n < PAYLOADS; n += 2) assert_true(session_delete(session, &n, sizeof n));
    assert_int_equal(session_payloads(session), 0);
    assert_int_equal(session_payload_bytes(session), 0);
    session_free(session);
}

static void no_change_of_a_table_moves_more_than_two_buckets(void **state) {
    (void)state;
    struct session *session = session_of_numbers(20);
    uint32_t buckets = session_buckets(session);
    for (uint32_t step = 0; step < 39979; step++) {
        uint32_t n = step < 19980 ? 20 + step : step - 19980;
        if (step < 19980)
            put_bytes(session, &n, sizeof n, "data", 4);
        else
            session_delete(session, &n, sizeof n);
        assert_in_range(session_buckets(session) + 2, buckets, buckets + 4);
        buckets = session_buckets(session);
    }
    assert_int_equal(session_payloads(session), 1);
    session_free(session);
}

/* What a doubled array of a million pointers would take is 8 MB; a segment is 8 KiB. */
static void no_change_of_a_large_table_copies_more_than_a_segment_at_once(void **state) {
    (void)state;
    counted.copied = 0;
    struct session *session = session_of_lives(300000);
    for (uint32_t n = 0; n < 300000; n++) session_delete(session, &n, sizeof n);
    assert_in_range(counted.copied, 1, POINTERS_SEGMENT * sizeof(void *));
    session_free(session);
}

static void a_walk_visits_every_payload_once(void **state) {
    (void)state;
    enum { MOST = 100 };
    for (uint32_t payloads = 0; payloads <= MOST; payloads++) {
        struct session *session = session_of_numbers(payloads);
        bool visited[MOST] = {false};
        uint32_t visits = 0;
        struct session_cursor cursor = {0};
        struct payload payload;
        while (session_next(session, &cursor, &payload)) {
            uint32_t n;
            assert_int_equal(payload.name_len, sizeof n);
            memcpy(&n, payload.name, sizeof n);
            assert_in_range(n, 0, payloads - 1);
            assert_false(visited[n]);
            visited[n] = true;
            visits++;
        }
        assert_int_equal(visits, payloads);
        assert_false(session_next(session, &cursor, &payload));
        session_free(session);
    }
}

static void a_copy_has_the_same_payloads_and_lives_on_its_own(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 16, 17, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct session *session = session_of_numbers(sizes[i]);
        size_t before = counted.bytes;
        struct session *copy = session_copy(session);
        assert_same_payloads(session, copy);
        assert_int_equal(session_memory(copy), counted.bytes - before);

        put_text(session, "only in the session", "data");
        put_text(copy, "only in the copy", "data");
        uint32_t n = 0;
        session_delete(session, &n, sizeof n);
        assert_false(has(copy, "only in the session", 19));
        assert_false(has(session, "only in the copy", 16));
        session_free(session);
        for (n = 0; n < sizes[i]; n++) assert_payload(copy, &n, sizeof n, "numbers", 1 + n % 7);
        assert_int_equal(session_payloads(copy), sizes[i] + 1);
        assert_whole(copy);
        session_free(copy);
    }
}

static void a_copy_does_not_know_what_its_origin_was_verified_for(void **state) {
    (void)state;
    static const struct token_memory nothing;
    struct session *session = session_of_numbers(20);
    char token[TOKEN_MAX_LEN];
    token_mint(token, TOKEN_V1, secret_signer("key", 3));
    assert_int_equal(token_verify_once(&session->verified, token, TOKEN_V1_LEN, "key", 3),
                     ERROR_NONE);
    struct token_memory verified = session->verified;
    struct session *copy = session_copy(session);
    assert_memory_equal(&copy->verified, &nothing, sizeof nothing);
    assert_memory_equal(&session->verified, &verified, sizeof verified);
    session_free(session);
    session_free(copy);
}

static struct session *move_whole(struct session *session, struct moves *moves) {
    session = session_move_self(session, move_block, moves);
    for (uint32_t bucket = 0; bucket < session_buckets(session); bucket++)
        session_move_bucket(session, bucket, move_block, moves);
    return session;
}

/* How many blocks a session of numbers has besides one for each payload of its table: a table is
 * itself, its chains, and further segments of them in a directory. */
static size_t blocks_of(uint32_t payloads) {
    if (payloads <= 16) return 1U + (payloads > 0);
    return 3U + (payloads > 1024 ? 1 + (payloads - 1) / 1024 : 0);
}

static void a_session_can_be_moved_block_by_block(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 16, 17, 1000, 5000};
    for (enum policy policy = MOVE_ALL; policy <= MOVE_HALF; policy++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct session *session = session_of_numbers(sizes[i]);
            struct session *copy = session_copy(session);
            size_t blocks = counted.blocks, bytes = counted.bytes;
            struct moves moves = {policy, 0};
            session = move_whole(session, &moves);
            assert_int_equal(moves.asked, blocks_of(sizes[i]) + (sizes[i] > 16 ? sizes[i] : 0));
            assert_int_equal(counted.blocks, blocks);
            assert_int_equal(counted.bytes, bytes);
            assert_same_payloads(session, copy);

            for (uint32_t n = 0; n < 2000; n++) put_bytes(session, &n, sizeof n, "again", 5);
            for (uint32_t n = 0; n < 2000; n++) assert_payload(session, &n, sizeof n, "again", 5);
            assert_whole(session);
            session_free(session);
            session_free(copy);
        }
}

static void what_ends_is_found_wherever_it_was_moved(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 16, 17, 1000, 5000};
    for (enum policy policy = MOVE_ALL; policy <= MOVE_HALF; policy++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct session *session = session_of_lives(sizes[i]);
            struct session *copy = session_copy(session);
            size_t blocks = counted.blocks, bytes = counted.bytes;
            struct moves moves = {policy, 0};
            session = move_whole(session, &moves);
            assert_int_equal(counted.blocks, blocks);
            assert_int_equal(counted.bytes, bytes);
            assert_same_payloads(session, copy);
            for (int64_t now = 0; now <= 50; now++) {
                assert_int_equal(session_sweep(session, now, UINT32_MAX),
                                 session_sweep(copy, now, UINT32_MAX));
                assert_same_payloads(session, copy);
            }
            assert_false(session_has_lives(session));
            session_free(session);
            session_free(copy);
        }
}

/*
 * Payloads with a life of their own.
 */

static bool put_mortal(struct session *session, const char *name, int64_t ends_at) {
    return session_put(session, &(struct payload){(const uint8_t *)name, (const uint8_t *)"data",
                                                  strlen(name), 4, ends_at});
}

static void a_payload_is_over_from_its_end_on_and_stays_until_it_is_swept(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_true(put_mortal(session, "ends", 1000));
    assert_true(put_text(session, "stays", "data"));
    struct payload payload;
    assert_true(session_get(session, "ends", 4, &payload));
    assert_int_equal(payload.ends_at, 1000);
    assert_false(payload_is_over(&payload, 999));
    assert_true(payload_is_over(&payload, 1000));
    assert_int_equal(session_over(session, 999, 9).payloads, 0);
    assert_int_equal(session_over(session, 1000, 9).payloads, 1);
    assert_int_equal(session_over(session, 1000, 9).bytes, 8);
    assert_int_equal(session_over(session, 1000, 0).payloads, 0);
    assert_int_equal(session_payloads(session), 2);
    assert_int_equal(session_sweep(session, 999, 9), 0);
    assert_int_equal(session_sweep(session, 1000, 0), 0);
    assert_int_equal(session_sweep(session, 1000, 9), 1);
    assert_false(has(session, "ends", 4));
    assert_text(session, "stays", "data");
    session_free(session);
}

static void setting_a_payload_again_gives_it_another_life_or_none(void **state) {
    (void)state;
    for (uint32_t others = 0; others <= 20; others += 20) {
        struct session *session = session_of_numbers(others);
        static const int64_t lives[] = {1000, 2000, 0, 0, 500, PAYLOAD_ENDS_AT_MAX, 1, 0};
        for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
            assert_int_equal(put_mortal(session, "name", lives[i]), i == 0);
            struct payload payload;
            assert_true(session_get(session, "name", 4, &payload));
            assert_int_equal(payload.ends_at, lives[i]);
            assert_int_equal(session_has_lives(session), lives[i] != 0);
            assert_whole(session);
            assert_int_equal(session_memory(session), counted.bytes);
        }
        session_free(session);
    }
}

static void what_ends_first_is_swept_first_and_by_name_where_it_ends_at_once(void **state) {
    (void)state;
    for (uint32_t others = 0; others <= 20; others += 20) {
        struct session *session = session_of_numbers(others);
        static const char *const in_order[] = {"z", "a", "aa", "ab", "b", "\xff", "later"};
        static const size_t arrival[] = {6, 5, 2, 0, 4, 1, 3};
        for (size_t i = 0; i < 7; i++)
            put_mortal(session, in_order[arrival[i]],
                       arrival[i] == 0   ? 10
                       : arrival[i] == 6 ? 30
                                         : 20);
        for (size_t i = 0; i < 7; i++) {
            assert_true(has(session, in_order[i], strlen(in_order[i])));
            assert_int_equal(session_sweep(session, 30, 1), 1);
            assert_false(has(session, in_order[i], strlen(in_order[i])));
        }
        assert_int_equal(session_sweep(session, 30, 1), 0);
        session_free(session);
    }
}

static void a_life_takes_seven_bytes_and_none_takes_none(void **state) {
    (void)state;
    struct session *session = session_create();
    put_mortal(session, "name", 0);
    size_t without = session_memory(session);
    assert_int_equal(without, 48 + 2 + 4 + 4);
    put_mortal(session, "name", 1);
    assert_int_equal(session_memory(session), without + 7);
    session_free(session);
}

static void a_session_of_which_half_is_over_is_swept_piece_by_piece(void **state) {
    (void)state;
    enum { PAYLOADS = 100000, PIECE = 2048 };
    struct session *session = session_of_lives(PAYLOADS);
    uint32_t over = session_over(session, 25, UINT32_MAX).payloads, left = over;
    assert_in_range(over, PAYLOADS / 4, PAYLOADS / 2);
    while (left > 0) {
        uint32_t swept = session_sweep(session, 25, PIECE);
        assert_int_equal(swept, left < PIECE ? left : PIECE);
        left -= swept;
        assert_int_equal(session_over(session, 25, UINT32_MAX).payloads, left);
    }
    assert_int_equal(session_payloads(session), PAYLOADS - over);
    assert_whole(session);
    assert_int_equal(session_memory(session), counted.bytes);
    session_free(session);
}

static const struct session_times some_times = {1700000000123, 1800000000456, 3600};

static void assert_times(const struct session *session, const struct session_times *times) {
    assert_int_equal(session->times.created_ms, times->created_ms);
    assert_int_equal(session->times.deadline_ms, times->deadline_ms);
    assert_int_equal(session->times.ttl, times->ttl);
}

static void a_new_session_knows_no_times_and_a_copy_those_of_its_origin(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_times(session, &(struct session_times){0});
    session->times = some_times;
    struct session *copy = session_copy(session);
    assert_times(copy, &some_times);
    session_free(session);
    session_free(copy);
}

static void moving_keeps_times_and_what_the_session_was_verified_for(void **state) {
    (void)state;
    struct session *session = session_create();
    session->times = some_times;
    memset(&session->verified, 7, sizeof session->verified);
    struct token_memory verified = session->verified;
    struct moves moves = {MOVE_ALL, 0};
    session = move_whole(session, &moves);
    assert_times(session, &some_times);
    assert_memory_equal(&session->verified, &verified, sizeof verified);
    session_free(session);
}

/*
 * The model: of each numbered name, how long its data is (0: no such payload), what it is made from
 * and when it ends. The session must agree with it after every operation.
 */
enum { NAMES = 20000, OPERATIONS = 1500000, DATA_MAX = 3000 };

static struct {
    uint32_t data_len;
    uint64_t data_seed;
    int64_t ends_at;
} model[NAMES];

static struct {
    uint32_t payloads;
    size_t bytes;
} model_sum;

struct bytes {
    uint8_t at[DATA_MAX];
    size_t len;
};

/* The first 200 names are 1 to 200 NULs, each the beginning of the next; the others begin with
 * their number, in 4 bytes that are not all NUL. */
static void make_name(struct bytes *name, uint32_t number) {
    memset(name->at, 0, 200);
    name->len = number + 1;
    if (number < 200) return;
    memcpy(name->at, &number, sizeof number);
    name->len = sizeof number + number % 30;
}

static void make_data(struct bytes *data, uint32_t number) {
    struct random random = {model[number].data_seed};
    data->len = model[number].data_len;
    for (size_t at = 0; at < data->len; at += 8) {
        uint64_t eight = random_next(&random);
        size_t left = data->len - at;
        memcpy(data->at + at, &eight, left < 8 ? left : 8);
    }
}

static void check_get(const struct session *session, uint32_t number) {
    static struct bytes name, data;
    make_name(&name, number);
    make_data(&data, number);
    if (data.len == 0) {
        assert_false(has(session, name.at, name.len));
        return;
    }
    struct payload payload;
    assert_payload(session, name.at, name.len, data.at, data.len);
    assert_true(session_get(session, name.at, name.len, &payload));
    assert_int_equal(payload.ends_at, model[number].ends_at);
}

/* Takes a payload out of the model; false when there is none. */
static bool forget(uint32_t number) {
    static struct bytes name;
    make_name(&name, number);
    if (model[number].data_len == 0) return false;
    model_sum.payloads--;
    model_sum.bytes -= name.len + model[number].data_len;
    model[number].data_len = 0;
    return true;
}

static void check_delete(struct session *session, uint32_t number) {
    static struct bytes name;
    make_name(&name, number);
    assert_int_equal(session_delete(session, name.at, name.len), forget(number));
}

/* Whether the payload of that number goes before the other one's, or there is no other. */
static bool goes_before(uint32_t number, uint32_t other) {
    if (other == NAMES || model[number].ends_at != model[other].ends_at)
        return other == NAMES || model[number].ends_at < model[other].ends_at;
    static struct bytes a, b;
    make_name(&a, number);
    make_name(&b, other);
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order < 0 : a.len < b.len;
}

/* Sweeps a few payloads away; the model finds the same ones by looking at all. */
static void check_sweep(struct session *session, uint32_t names, struct random *random) {
    int64_t now = 1 + random_below(random, 100);
    uint32_t at_most = random_below(random, 5), swept = 0;
    for (; swept < at_most; swept++) {
        uint32_t first = NAMES;
        for (uint32_t number = 0; number < names; number++) {
            if (model[number].data_len == 0 || !model[number].ends_at) continue;
            if (model[number].ends_at <= now && goes_before(number, first)) first = number;
        }
        if (first == NAMES) break;
        forget(first);
    }
    assert_int_equal(session_over(session, now, at_most).payloads, swept);
    assert_int_equal(session_sweep(session, now, at_most), swept);
}

static void check_put(struct session *session, uint32_t number, struct random *random) {
    static struct bytes name, data;
    make_name(&name, number);
    bool is_new = model[number].data_len == 0;
    if (!is_new) model_sum.bytes -= name.len + model[number].data_len;
    if (is_new || random_below(random, 4) > 0)
        model[number].data_len = 1 + random_below(random, random_below(random, 50) ? 30 : DATA_MAX);
    model[number].data_seed = random_next(random);
    model[number].ends_at = random_below(random, 2) ? 1 + random_below(random, 100) : 0;
    make_data(&data, number);
    struct payload payload = {name.at, data.at, name.len, data.len, model[number].ends_at};
    assert_int_equal(session_put(session, &payload), is_new);
    model_sum.bytes += name.len + data.len;
    if (is_new) model_sum.payloads++;
}

/* The session as another one of the same contents: moved, copied, or packed and unpacked. */
static struct session *renewed(struct session *session, struct random *random) {
    if (random_below(random, 3) == 0) {
        struct moves moves = {MOVE_ALL, 0};
        return move_whole(session, &moves);
    }
    struct session *copy;
    if (random_below(random, 2) == 0) {
        copy = session_copy(session);
    } else {
        copy = session_create();
        struct session_cursor cursor = {0};
        uint8_t *buffer = NULL;
        size_t capacity = 0, len;
        while ((len = chunk_pack(session, &cursor, &buffer, &capacity)) > 0)
            assert_true(chunk_unpack(copy, buffer, len));
        memory.free(buffer);
    }
    session_free(session);
    return copy;
}

/* How many names a phase of the operations uses: mostly few, so that the session often grows from
 * one block into a table and back. */
static uint32_t names_of_phase(struct random *random) {
    uint32_t draw = random_below(random, 200);
    if (draw < 1) return NAMES;
    if (draw < 5) return 3000;
    if (draw < 20) return 300;
    return draw < 60 ? 40 : 12;
}

static void random_operations_agree_with_a_model(void **state) {
    (void)state;
    struct random random = random_seeded();
    struct session *session = session_create();
    uint32_t operations = 0, tables = 0, largest = 0;
    uint32_t names = 12, put_share = 50, left = 100;
    bool in_table = false;
    while (operations < OPERATIONS) {
        if (left-- == 0) {
            assert_whole(session);
            for (uint32_t number = 0; number < names; number++) check_get(session, number);
            if (random_below(&random, 4) == 0) session = renewed(session, &random);
            uint32_t old_names = names;
            names = names_of_phase(&random);
            for (uint32_t number = names; number < old_names; number++, operations++)
                check_delete(session, number);
            put_share = 10 + 40 * random_below(&random, 3);
            left = 2 * names + 50;
        }

        uint32_t number = random_below(&random, names);
        if (names <= 300 && random_below(&random, 20) == 0)
            check_sweep(session, names, &random);
        else if (random_below(&random, 3) == 0)
            check_get(session, number);
        else if (random_below(&random, 100) < put_share)
            check_put(session, number, &random);
        else
            check_delete(session, number);
        operations++;

        assert_int_equal(session_payloads(session), model_sum.payloads);
        assert_int_equal(session_payload_bytes(session), model_sum.bytes);
        assert_int_equal(session_memory(session), counted.bytes);
        if (session_buckets(session) > 0 && !in_table) tables++;
        in_table = session_buckets(session) > 0;
        if (session_payloads(session) > largest) largest = session_payloads(session);
    }
    print_message(
        "           %u operations, %u times from one block to a table, up to %u payloads\n",
        operations, tables, largest);
    assert_true(tables >= 50);
    session_free(session);
}

static void a_new_session_is_nobodys_and_takes_48_bytes(void **state) {
    (void)state;
    struct session *session = session_create();
    assert_int_equal(session->owner_len, 0);
    assert_false(session_is_of(session, "owner", 5));
    assert_int_equal(session_memory(session), 48);
    assert_int_equal(counted.bytes, 48);
    session_free(session);
}

static void an_owner_takes_its_label_and_no_more(void **state) {
    (void)state;
    static const char label[SESSION_OWNER_MAX] = {0};
    for (size_t len = 1; len <= sizeof label; len++) {
        struct session *session = session_own(session_create(), label, len);
        put_text(session, "name", "data");
        assert_true(session_is_of(session, label, len));
        assert_int_equal(session_memory(session), counted.bytes);
        session_free(session);
    }
}

static void a_session_is_of_the_whole_label_only(void **state) {
    (void)state;
    struct session *session = session_own(session_create(), "a\0b", 3);
    assert_true(session_is_of(session, "a\0b", 3));
    assert_false(session_is_of(session, "a\0c", 3));
    assert_false(session_is_of(session, "a\0", 2));
    assert_false(session_is_of(session, "a", 1));
    assert_false(session_is_of(session, "", 0));
    assert_false(session_is_of(session, "a\0bc", 4));
    session_free(session);
}

static void
an_owner_stays_whatever_becomes_of_the_payloads_in_copies_and_where_it_moves(void **state) {
    (void)state;
    struct session *session = session_own(session_create(), "owner:42", 8);
    for (uint32_t n = 0; n < 40; n++) put_bytes(session, &n, sizeof n, "numbers", 1 + n % 7);
    struct session *copy = session_copy(session);
    assert_same_payloads(session, copy);
    assert_true(session_is_of(copy, "owner:42", 8));
    struct moves moves = {MOVE_ALL, 0};
    copy = move_whole(copy, &moves);
    assert_true(session_is_of(copy, "owner:42", 8));
    for (uint32_t n = 0; n < 40; n++) session_delete(copy, &n, sizeof n);
    assert_true(session_is_of(copy, "owner:42", 8));
    session_free(copy);
    session_free(session);
}

int main(void) {
#define SESSION_TEST(test) cmocka_unit_test_teardown(test, nothing_is_left)
    const struct CMUnitTest tests[] = {
        SESSION_TEST(a_new_session_has_no_payloads),
        SESSION_TEST(freeing_no_session_is_no_fault),
        SESSION_TEST(a_payload_that_is_put_can_be_got_and_deleted_once),
        SESSION_TEST(putting_a_name_again_replaces_its_data_by_shorter_longer_and_as_long),
        SESSION_TEST(names_and_data_are_bytes_nul_and_all),
        SESSION_TEST(a_name_ends_where_it_ends_whatever_data_follows_it),
        SESSION_TEST(name_and_data_are_read_to_their_ends_only),
        SESSION_TEST(the_longest_name_and_large_data_are_kept_whole),
        SESSION_TEST(sixteen_small_payloads_are_one_block_and_seventeen_a_table),
        SESSION_TEST(payloads_leave_their_block_when_they_no_longer_fit),
        SESSION_TEST(the_table_is_given_back_when_the_last_payload_goes),
        SESSION_TEST(three_hundred_thousand_payloads_stay_right_and_in_short_chains),
        SESSION_TEST(no_change_of_a_table_moves_more_than_two_buckets),
        SESSION_TEST(no_change_of_a_large_table_copies_more_than_a_segment_at_once),
        SESSION_TEST(a_walk_visits_every_payload_once),
        SESSION_TEST(a_copy_has_the_same_payloads_and_lives_on_its_own),
        SESSION_TEST(a_copy_does_not_know_what_its_origin_was_verified_for),
        SESSION_TEST(a_session_can_be_moved_block_by_block),
        SESSION_TEST(what_ends_is_found_wherever_it_was_moved),
        SESSION_TEST(a_payload_is_over_from_its_end_on_and_stays_until_it_is_swept),
        SESSION_TEST(setting_a_payload_again_gives_it_another_life_or_none),
        SESSION_TEST(what_ends_first_is_swept_first_and_by_name_where_it_ends_at_once),
        SESSION_TEST(a_life_takes_seven_bytes_and_none_takes_none),
        SESSION_TEST(a_session_of_which_half_is_over_is_swept_piece_by_piece),
        SESSION_TEST(a_new_session_knows_no_times_and_a_copy_those_of_its_origin),
        SESSION_TEST(moving_keeps_times_and_what_the_session_was_verified_for),
        SESSION_TEST(a_new_session_is_nobodys_and_takes_48_bytes),
        SESSION_TEST(an_owner_takes_its_label_and_no_more),
        SESSION_TEST(a_session_is_of_the_whole_label_only),
        SESSION_TEST(an_owner_stays_whatever_becomes_of_the_payloads_in_copies_and_where_it_moves),
        SESSION_TEST(random_operations_agree_with_a_model),
    };
    return cmocka_run_group_tests_name("session", tests, start_counting, NULL);
}
