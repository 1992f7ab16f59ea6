/*
 * test_chunk.c - sessions as chunks of bytes, for files, and chunks that no session was packed
 * into.
 */
#include "session_support.h"

static struct fence fence;

/* Adds what a walk of session packs to copy, chunk by chunk; gives the number of chunks. */
static size_t pack_into(struct session *copy, const struct session *session) {
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len, chunks = 0;
    while ((len = chunk_pack(session, &cursor, &buffer, &capacity)) > 0) {
        assert_true(capacity >= len);
        assert_true(chunk_unpack(copy, buffer, len));
        chunks++;
    }
    memory.free(buffer);
    return chunks;
}

/* A walk of session that begins with this function packs these bytes, as one chunk. */
static void assert_packs_to(size_t (*pack)(const struct session *, struct session_cursor *,
                                           uint8_t **, size_t *),
                            const struct session *session, const void *bytes, size_t len) {
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    assert_int_equal(pack(session, &cursor, &buffer, &capacity), len);
    assert_memory_equal(buffer, bytes, len);
    assert_int_equal(chunk_pack(session, &cursor, &buffer, &capacity), 0);
    memory.free(buffer);
}

static void assert_packs_and_unpacks(const struct session *session) {
    struct session *copy = session_create();
    size_t chunks = pack_into(copy, session);
    assert_int_equal(chunks > 0, session_payloads(session) > 0);
    assert_same_payloads(session, copy);
    session_free(copy);
}

static void any_number_of_payloads_packs_and_unpacks(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 8, 9, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct session *session = session_create();
        for (uint32_t n = 0; n < sizes[i]; n++)
            put_bytes(session, &n, sizeof n, "nul\0byte", 1 + n % 8);
        assert_packs_and_unpacks(session);
        session_free(session);
    }
}

static void any_number_of_lives_packs_and_unpacks(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 16, 17, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct session *session = session_of_lives(sizes[i]);
        assert_packs_and_unpacks(session);
        session_free(session);
    }
}

static void payloads_larger_than_a_chunk_pack_and_unpack(void **state) {
    (void)state;
    static const size_t lens[] = {1, CHUNK_BYTES, 8000000, 3, CHUNK_BYTES - 12, 64000000, 1};
    uint8_t *data = test_malloc(64000000);
    for (size_t i = 0; i < 64000000; i++) data[i] = (uint8_t)(i >> 8);
    struct session *session = session_create();
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        put_bytes(session, &i, sizeof i, data, lens[i]);
    assert_packs_and_unpacks(session);
    session_free(session);
    test_free(data);
}

/* What files hold: these bytes never change. */
static void a_chunk_is_name_len_data_len_name_data_of_each_payload(void **state) {
    (void)state;
    static const uint8_t published[] = "\2\3abxyz"
                                       "\1\x84\2c";
    enum { HEAD = sizeof published - 1, DATA_LEN = 0x104 };
    uint8_t chunk[HEAD + DATA_LEN];
    memcpy(chunk, published, HEAD);
    memset(chunk + HEAD, 'd', DATA_LEN);
    struct session *session = session_create();
    put_text(session, "ab", "xyz");
    put_bytes(session, "c", 1, chunk + HEAD, DATA_LEN);
    assert_packs_to(chunk_pack, session, chunk, sizeof chunk);
    session_free(session);
}

/* What files hold: these bytes never change. */
static void a_life_is_a_nul_and_its_end_in_six_bytes_before_the_payload(void **state) {
    (void)state;
    static const uint8_t published[] = "\0\1\2\3\4\5\6\1\1nd"
                                       "\1\1md"
                                       "\0\xff\xff\xff\xff\xff\xff\1\2oxy";
    struct session *session = session_create(), *copy = session_create();
    session_put(session, &(struct payload){(const uint8_t *)"n", (const uint8_t *)"d", 1, 1,
                                           INT64_C(0x060504030201)});
    put_text(session, "m", "d");
    session_put(session, &(struct payload){(const uint8_t *)"o", (const uint8_t *)"xy", 1, 2,
                                           PAYLOAD_ENDS_AT_MAX});
    assert_packs_to(chunk_pack, session, published, sizeof published - 1);
    assert_true(chunk_unpack(copy, published, sizeof published - 1));
    assert_same_payloads(session, copy);
    session_free(session);
    session_free(copy);
}

/* What files hold: these bytes never change. */
static const uint8_t published_head[] = "\x81\x84\x8c\xa0\xd0\xc0\xc1\3"
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
                                        "\xff\xff\xff\xff\xf"
                                        "\1"
                                        "\1\1nd";
#define PUBLISHED_LEN (sizeof published_head - 1)
#define PUBLISHED_HEAD_LEN (PUBLISHED_LEN - 4)

static void the_first_chunk_begins_with_the_times_and_the_number_of_payloads(void **state) {
    (void)state;
    struct session *session = session_create();
    session->times = (struct session_times){0x07060504030201, INT64_MAX, UINT32_MAX};
    put_text(session, "n", "d");
    assert_packs_to(chunk_pack_first, session, published_head, PUBLISHED_LEN);

    struct session *copy = session_create();
    uint32_t payloads;
    const uint8_t *chunk = fence_before_end(fence, published_head, PUBLISHED_LEN);
    assert_true(chunk_unpack_first(&copy, chunk, PUBLISHED_LEN, &payloads));
    assert_int_equal(payloads, 1);
    assert_int_equal(copy->times.created_ms, session->times.created_ms);
    assert_int_equal(copy->times.deadline_ms, session->times.deadline_ms);
    assert_int_equal(copy->times.ttl, session->times.ttl);
    assert_same_payloads(session, copy);
    session_free(session);
    session_free(copy);
}

static void a_session_without_payloads_is_a_head_alone(void **state) {
    (void)state;
    struct session *session = session_create();
    uint32_t payloads = 1;
    assert_packs_to(chunk_pack_first, session, "\0\0\0\0", 4);
    assert_true(chunk_unpack_first(&session, (const uint8_t *)"\0\0\0\0", 4, &payloads));
    assert_int_equal(payloads, 0);
    session_free(session);
}

static void a_first_chunk_cut_anywhere_but_behind_its_head_is_refused(void **state) {
    (void)state;
    for (size_t len = 0; len < PUBLISHED_LEN; len++) {
        struct session *session = session_create();
        uint32_t payloads;
        const uint8_t *chunk = fence_before_end(fence, published_head, len);
        assert_int_equal(chunk_unpack_first(&session, chunk, len, &payloads),
                         len == PUBLISHED_HEAD_LEN);
        session_free(session);
    }
}

/* Whether the bytes of a text are a head. */
static bool is_head(const char *head, size_t len) {
    struct session *session = session_create();
    uint32_t payloads;
    const uint8_t *bytes = fence_before_end(fence, head, len);
    bool accepted = chunk_unpack_first(&session, bytes, len, &payloads);
    session_free(session);
    return accepted;
}
#define IS_HEAD(text) is_head(text, sizeof(text) - 1)

static void a_head_with_a_number_out_of_bounds_is_refused(void **state) {
    (void)state;
    assert_true(IS_HEAD("\0\0\0\0"));
#define LARGEST "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
#define ONE_MORE "\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"
    assert_true(IS_HEAD(LARGEST "\0\0\0"));
    assert_false(IS_HEAD(ONE_MORE "\0\0\0"));
    assert_true(IS_HEAD("\0" LARGEST "\0\0"));
    assert_false(IS_HEAD("\0" ONE_MORE "\0\0"));
    assert_true(IS_HEAD("\0\0\xff\xff\xff\xff\xf\0"));
    assert_false(IS_HEAD("\0\0\x80\x80\x80\x80\x10\0"));
    assert_true(IS_HEAD("\0\0\0\x80\x80\x80\x8")); /* SESSION_PAYLOADS_MAX */
    assert_false(IS_HEAD("\0\0\0\x81\x80\x80\x8"));
}

/* What files hold: these bytes never change. */
static const uint8_t published_owned[] = "\1\2\3"
                                         "\x81\x80\x80\x10"
                                         "\3o:\0"
                                         "\1\1nd";
#define OWNED_LEN (sizeof published_owned - 1)
#define OWNED_HEAD_LEN (OWNED_LEN - 4)

static void the_owner_of_a_session_stands_behind_the_numbers_of_its_head(void **state) {
    (void)state;
    struct session *session = session_own(session_create(), "o:", 3);
    session->times = (struct session_times){1, 2, 3};
    put_text(session, "n", "d");
    assert_packs_to(chunk_pack_first, session, published_owned, OWNED_LEN);

    struct session *copy = session_create();
    uint32_t payloads;
    const uint8_t *chunk = fence_before_end(fence, published_owned, OWNED_LEN);
    assert_true(chunk_unpack_first(&copy, chunk, OWNED_LEN, &payloads));
    assert_int_equal(payloads, 1);
    assert_true(session_is_of(copy, "o:", 3));
    assert_int_equal(copy->times.ttl, 3);
    assert_same_payloads(session, copy);
    session_free(session);
    session_free(copy);
}

/* What all chunks of a session unpack to. */
static struct session *unpacked(const struct session *session) {
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len = chunk_pack_first(session, &cursor, &buffer, &capacity);
    struct session *copy = session_create();
    uint32_t payloads;
    assert_true(chunk_unpack_first(&copy, buffer, len, &payloads));
    assert_int_equal(payloads, session_payloads(session));
    while ((len = chunk_pack(session, &cursor, &buffer, &capacity)) > 0)
        assert_true(chunk_unpack(copy, buffer, len));
    memory.free(buffer);
    return copy;
}

static void an_owner_with_the_longest_label_and_many_payloads_packs_and_unpacks(void **state) {
    (void)state;
    char label[SESSION_OWNER_MAX];
    for (size_t i = 0; i < sizeof label; i++) label[i] = (char)i;
    struct session *session = session_own(session_create(), label, sizeof label);
    for (uint32_t n = 0; n < 20000; n++) put_bytes(session, &n, sizeof n, "data", 4);
    struct session *copy = unpacked(session);
    assert_int_equal(session_payloads(copy), 20000);
    assert_true(session_is_of(copy, label, sizeof label));
    assert_same_payloads(session, copy);
    session_free(session);
    session_free(copy);
}

static void a_first_chunk_with_an_owner_cut_anywhere_but_behind_its_head_is_refused(void **state) {
    (void)state;
    for (size_t len = 0; len < OWNED_LEN; len++)
        assert_int_equal(is_head((const char *)published_owned, len), len == OWNED_HEAD_LEN);
}

static void an_owner_of_no_byte_of_too_many_or_past_the_end_is_refused(void **state) {
    (void)state;
#define OWNED_HEAD "\0\0\0\x80\x80\x80\x10"
    char head[8 + 1 + SESSION_OWNER_MAX + 1] = OWNED_HEAD "\xc8\1"; /* of 200 bytes */
    assert_true(is_head(head, 9 + 200));
    assert_false(is_head(head, 9 + 199));
    head[7] = (char)0xc9;
    assert_false(is_head(head, 9 + 201));
    assert_true(IS_HEAD(OWNED_HEAD "\1o"));
    assert_false(IS_HEAD(OWNED_HEAD "\0"));
    assert_false(IS_HEAD(OWNED_HEAD "\2o"));
    assert_false(IS_HEAD(OWNED_HEAD));
    assert_false(IS_HEAD(OWNED_HEAD "\xff\xff\xff\xff\xff\xff\xff\xff\x7fo"));
    assert_false(IS_HEAD("\0\0\0\x81\x80\x80\x18\1o")); /* SESSION_PAYLOADS_MAX + 1 */
    assert_true(IS_HEAD("\0\0\0\x80\x80\x80\x18\1o"));
    assert_false(IS_HEAD("\0\0\0\x80\x80\x80\x20\1o")); /* the mark's neighbour */
}

static void a_number_of_more_bytes_than_it_needs_is_refused(void **state) {
    (void)state;
    assert_true(IS_HEAD("\x80\1\0\0\0"));
    assert_false(IS_HEAD("\x80\0\0\0\0"));
    assert_false(IS_HEAD("\1\x81\x80\0\0\0"));
    assert_false(IS_HEAD("\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\0"));
}

/* Two payloads, each so long when it is packed, with a data length of so many bytes: are they one
 * chunk? */
static bool are_one_chunk(size_t payload_len, size_t number_len) {
    uint8_t *data = test_calloc(1, payload_len);
    struct session *session = session_create(), *copy = session_create();
    put_bytes(session, "a", 1, data, payload_len - number_len - 2);
    put_bytes(session, "b", 1, data, payload_len - number_len - 2);
    size_t chunks = pack_into(copy, session);
    assert_same_payloads(session, copy);
    assert_in_range(chunks, 1, 2);
    session_free(session);
    session_free(copy);
    test_free(data);
    return chunks == 1;
}

static void a_chunk_ends_with_the_payload_that_fills_it(void **state) {
    (void)state;
    assert_true(are_one_chunk(4, 1));
    assert_true(are_one_chunk(CHUNK_BYTES - 1, 3));
    assert_false(are_one_chunk(CHUNK_BYTES, 3));
    assert_false(are_one_chunk(CHUNK_BYTES + 1, 3));
}

/* Payloads of up to 99 bytes: a full chunk is over CHUNK_BYTES by less than one of them. */
static void every_chunk_but_the_last_is_full_and_none_is_fuller(void **state) {
    (void)state;
    enum { PAYLOAD_MAX = 2 + 4 + 99 };
    static const uint8_t data[99];
    struct session *session = session_create();
    for (uint32_t n = 0; n < 20000; n++) put_bytes(session, &n, sizeof n, data, 1 + n % 99);
    size_t left = session_payloads(session) * (size_t)2 + session_payload_bytes(session);
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len;
    while ((len = chunk_pack(session, &cursor, &buffer, &capacity)) > 0) {
        assert_in_range(len, left < CHUNK_BYTES ? left : CHUNK_BYTES,
                        CHUNK_BYTES + PAYLOAD_MAX - 1);
        left -= len;
    }
    assert_int_equal(left, 0);
    memory.free(buffer);
    session_free(session);
}

static void a_buffer_that_is_large_enough_is_kept(void **state) {
    (void)state;
    struct session *session = session_create();
    put_text(session, "name", "data");
    enum { ENOUGH = 2 * 9 + 8 };
    uint8_t *const own = memory.alloc(ENOUGH);
    uint8_t *buffer = own;
    size_t capacity = ENOUGH;
    struct session_cursor cursor = {0};
    assert_int_equal(chunk_pack(session, &cursor, &buffer, &capacity), 10);
    assert_ptr_equal(buffer, own);
    assert_int_equal(capacity, ENOUGH);
    memory.free(buffer);
    session_free(session);
}

/* Whether payloads are accepted behind a head that announces so many: the session is then whole,
 * and packs to the same bytes again. */
static bool unpacks_first(const uint8_t *payloads, size_t len, uint8_t announced) {
    uint8_t chunk[4 + PACKED_BYTES] = {0, 0, 0, announced};
    memcpy(chunk + 4, payloads, len);
    struct session *session = session_create();
    uint32_t told;
    bool accepted =
        chunk_unpack_first(&session, fence_before_end(fence, chunk, 4 + len), 4 + len, &told);
    assert_int_equal(told, announced);
    assert_whole(session);
    assert_int_equal(session_memory(session), counted.bytes);
    if (accepted && session_payloads(session) == announced)
        assert_packs_to(chunk_pack_first, session, chunk, 4 + len);
    session_free(session);
    return accepted;
}

/* That few payloads, which are taken over as a block, are accepted behind a head when they are
 * without one, and when it announces as many or more. */
static void assert_first_alike(const uint8_t *chunk, size_t chunk_len, uint32_t payloads) {
    if (chunk_len == 0 || chunk_len > PACKED_BYTES || payloads > PACKED_PAYLOADS) return;
    assert_int_equal(unpacks_first(chunk, chunk_len, PACKED_PAYLOADS), payloads > 0);
    if (payloads == 0) return;
    assert_true(unpacks_first(chunk, chunk_len, (uint8_t)payloads));
    assert_false(unpacks_first(chunk, chunk_len, (uint8_t)(payloads - 1)));
}

/* Whether a chunk is accepted, which lies against a page that cannot be read. If so, the session is
 * whole and packs to the same bytes again. */
static bool unpacks(const uint8_t *chunk, size_t chunk_len) {
    struct session *session = session_create();
    bool accepted = chunk_unpack(session, fence_before_end(fence, chunk, chunk_len), chunk_len);
    assert_whole(session);
    assert_int_equal(session_memory(session), counted.bytes);
    if (accepted) assert_packs_to(chunk_pack, session, chunk, chunk_len);
    uint32_t payloads = accepted ? session_payloads(session) : 0;
    session_free(session);
    assert_first_alike(chunk, chunk_len, payloads);
    return accepted;
}

/* Unpacks what a session packs to into another, which takes a block or a table as it does, and is
 * as good to be changed. */
static void assert_unpacks_alike(struct session *session) {
    struct session *copy = unpacked(session);
    assert_int_equal(session_is_packed(copy), session_is_packed(session));
    assert_int_equal(session_memory(copy), session_memory(session));
    assert_same_payloads(session, copy);
    assert_true(put_text(copy, "one more", "data"));
    assert_true(session_delete(copy, "one more", 8));
    assert_same_payloads(session, copy);
    session_free(copy);
    session_free(session);
}

static void a_session_unpacks_to_a_block_or_a_table_as_it_was(void **state) {
    (void)state;
    for (uint32_t payloads = PACKED_PAYLOADS - 1; payloads <= PACKED_PAYLOADS + 1; payloads++) {
        assert_unpacks_alike(session_of_numbers(payloads));
        assert_unpacks_alike(session_of_lives(payloads));
    }
    static const uint8_t data[PACKED_BYTES];
    for (size_t bytes = PACKED_BYTES - 1; bytes <= PACKED_BYTES + 1; bytes++) {
        struct session *session = session_create();
        put_bytes(session, "a", 1, data, 4001); /* 4005 with its lengths */
        put_bytes(session, "bc", 2, data, bytes - 4005 - 4);
        assert_int_equal(session_is_packed(session), bytes <= PACKED_BYTES);
        assert_unpacks_alike(session);
    }
}

/* A block that was taken over goes on with further chunks, which must have what it lacks. */
static void a_block_that_was_taken_over_takes_further_chunks(void **state) {
    (void)state;
    struct session *session = session_create();
    uint32_t payloads;
    assert_true(
        chunk_unpack_first(&session, (const uint8_t *)"\0\0\0\3\1\1ad\1\1bd", 12, &payloads));
    assert_int_equal(payloads, 3);
    assert_int_equal(session_payloads(session), 2);
    assert_false(chunk_unpack(session, (const uint8_t *)"\1\1bd", 4));
    assert_true(chunk_unpack(session, (const uint8_t *)"\1\1cd", 4));
    assert_int_equal(session_payloads(session), 3);
    assert_whole(session);
    session_free(session);
}

/* A chunk being made by hand; what its heads say need not be so. */
struct chunk {
    uint8_t bytes[512];
    size_t len;
    size_t ends[8]; /* of its payloads, from ends[1] on */
    size_t payloads;
};

static void append_number(struct chunk *chunk, uint64_t value) {
    for (; value >= 128; value /= 128) chunk->bytes[chunk->len++] = (uint8_t)(value % 128 + 128);
    chunk->bytes[chunk->len++] = (uint8_t)value;
}

static void append_head(struct chunk *chunk, uint64_t name_len, uint64_t data_len) {
    append_number(chunk, name_len);
    append_number(chunk, data_len);
}

static void append_life(struct chunk *chunk, uint64_t ends_at) {
    chunk->bytes[chunk->len++] = 0;
    for (int i = 0; i < 6; i++) chunk->bytes[chunk->len++] = (uint8_t)(ends_at >> (8 * i));
}

static void append(struct chunk *chunk, const char *name, const char *data) {
    append_head(chunk, strlen(name), strlen(data));
    for (; *name; name++) chunk->bytes[chunk->len++] = (uint8_t)*name;
    for (; *data; data++) chunk->bytes[chunk->len++] = (uint8_t)*data;
    chunk->ends[++chunk->payloads] = chunk->len;
}

static struct chunk six_payloads(void) {
    struct chunk chunk = {.len = 0};
    append(&chunk, "a", "1");
    append(&chunk, "b", "some longer data");
    append(&chunk, "a longer name", "2");
    append(&chunk, "ab", "34");
    append(&chunk, "ac", "34");
    append(&chunk, "\1", "\1\1");
    return chunk;
}

/* Of these four all but the third end. */
static struct chunk three_lives_of_four(void) {
    struct chunk chunk = {.len = 0};
    append_life(&chunk, 1);
    append(&chunk, "a", "1");
    append_life(&chunk, UINT64_C(0x010000000000));
    append(&chunk, "a longer name", "some longer data");
    append(&chunk, "b", "2");
    append_life(&chunk, UINT64_C(0xffffffffffff));
    append(&chunk, "c", "3");
    return chunk;
}

static void assert_cut_between_payloads_only(const struct chunk *chunk) {
    size_t payloads = 0;
    for (size_t len = 0; len <= chunk->len; len++) {
        bool between = len > 0 && len == chunk->ends[payloads + 1];
        if (between) payloads++;
        if (unpacks(chunk->bytes, len) != between) fail_msg("cut after %zu bytes", len);
    }
    assert_int_equal(payloads, chunk->payloads);
}

static void a_truncated_chunk_is_refused_unless_cut_between_payloads(void **state) {
    (void)state;
    const struct chunk payloads = six_payloads(), lives = three_lives_of_four();
    assert_cut_between_payloads_only(&payloads);
    assert_cut_between_payloads_only(&lives);
}

static bool unpacks_with_life(struct chunk before, uint64_t ends_at) {
    append_life(&before, ends_at);
    append(&before, "z", "d");
    return unpacks(before.bytes, before.len);
}

static void a_life_that_ends_at_no_time_is_refused_wherever_it_stands(void **state) {
    (void)state;
    static const uint64_t ends[] = {1, 255, 256, UINT64_C(1) << 40, PAYLOAD_ENDS_AT_MAX};
    const struct chunk before[] = {{.len = 0}, six_payloads(), three_lives_of_four()};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        assert_false(unpacks_with_life(before[i], 0));
        for (size_t j = 0; j < sizeof ends / sizeof *ends; j++)
            assert_true(unpacks_with_life(before[i], ends[j]));
    }
}

static void a_second_life_and_one_without_a_payload_are_refused(void **state) {
    (void)state;
    struct chunk chunk = three_lives_of_four();
    append_life(&chunk, 1);
    assert_false(unpacks(chunk.bytes, chunk.len));
    append_life(&chunk, 1);
    append(&chunk, "z", "d");
    assert_false(unpacks(chunk.bytes, chunk.len));
}

/* A table takes what a block takes, and gives each its life. */
static void a_table_takes_whole_lives_and_no_others(void **state) {
    (void)state;
    const struct chunk lives = three_lives_of_four();
    for (size_t len = 0; len <= lives.len; len++) {
        struct session *session = session_of_lives(40);
        uint32_t before = session_over(session, PAYLOAD_ENDS_AT_MAX, UINT32_MAX).payloads;
        size_t cut = 1;
        while (cut < lives.payloads && lives.ends[cut] < len) cut++;
        const uint8_t *bytes = fence_before_end(fence, lives.bytes, len);
        assert_int_equal(chunk_unpack(session, bytes, len), len == lives.ends[cut]);
        assert_whole(session);
        assert_int_equal(session_memory(session), counted.bytes);
        if (len == lives.len) {
            assert_int_equal(session_payloads(session), 44);
            assert_int_equal(session_over(session, PAYLOAD_ENDS_AT_MAX, UINT32_MAX).payloads,
                             before + 3);
        }
        session_free(session);
    }
    struct session *session = session_of_lives(40);
    struct chunk chunk = {.len = 0};
    append_life(&chunk, 0);
    append(&chunk, "z", "d");
    assert_false(chunk_unpack(session, chunk.bytes, chunk.len));
    assert_int_equal(session_payloads(session), 40);
    session_free(session);
}

static void a_name_twice_is_refused_whether_it_ends_or_not(void **state) {
    (void)state;
    for (int of = 0; of < 4; of++) {
        struct chunk chunk = {.len = 0};
        if (of & 1) append_life(&chunk, 5);
        append(&chunk, "name", "data");
        if (of & 2) append_life(&chunk, 6);
        append(&chunk, "name", "data");
        assert_false(unpacks(chunk.bytes, chunk.len));
    }
}

static void every_end_that_is_changed_in_a_byte_unpacks_to_that_end(void **state) {
    (void)state;
    struct chunk chunk = three_lives_of_four();
    for (size_t at = 1; at < ENTRY_LIFE; at++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t right = chunk.bytes[at];
            chunk.bytes[at] = (uint8_t)value;
            assert_int_equal(unpacks(chunk.bytes, chunk.len), at > 1 || value > 0);
            chunk.bytes[at] = right;
        }
}

static void
a_chunk_whose_beginning_is_cut_off_is_refused_unless_cut_between_payloads(void **state) {
    (void)state;
    const struct chunk chunk = six_payloads();
    size_t payloads = 0;
    for (size_t from = 0; from < chunk.len; from++) {
        bool between = from == chunk.ends[payloads];
        if (between) payloads++;
        if (unpacks(chunk.bytes + from, chunk.len - from) != between) fail_msg("from %zu", from);
    }
}

static void a_chunk_with_bytes_behind_it_is_refused_unless_they_are_a_payload(void **state) {
    (void)state;
    struct chunk chunk = six_payloads();
    for (unsigned behind = 1; behind <= 64; behind++)
        for (unsigned value = 0; value < 256; value++) {
            memset(chunk.bytes + chunk.len, (int)value, behind);
            bool is_payload = value > 0 && behind == 2 + 2 * value;
            bool is_new = value != 1; /* the sixth payload has that name */
            if (unpacks(chunk.bytes, chunk.len + behind) != (is_payload && is_new))
                fail_msg("%u bytes of %u", behind, value);
        }
}

/* How many of the values of one byte unpack: 256 for a byte of name or data, less those that make a
 * name twice. Other lengths that unpack do so into what packs to the same bytes again. */
static void
every_change_of_a_byte_of_a_chunk_unpacks_to_the_same_bytes_or_is_refused(void **state) {
    (void)state;
    struct chunk chunk = six_payloads();
    size_t payload = 0;
    for (size_t at = 0; at < chunk.len; at++) {
        if (at == chunk.ends[payload + 1]) payload++;
        const uint8_t *head = chunk.bytes + chunk.ends[payload];
        size_t in_payload = at - chunk.ends[payload], name_len = head[0];
        uint8_t right = chunk.bytes[at];
        unsigned accepted = 0;
        for (unsigned value = 0; value < 256; value++) {
            chunk.bytes[at] = (uint8_t)value;
            accepted += unpacks(chunk.bytes, chunk.len);
        }
        chunk.bytes[at] = right;

        if (in_payload < 2)
            assert_in_range(accepted, 1, 255);
        else if (in_payload >= 2 + name_len || name_len == 13)
            assert_int_equal(accepted, 256);
        else
            assert_int_equal(accepted, name_len == 1 ? 254 : in_payload == 2 ? 256 : 255);
    }
}

static void a_name_twice_is_refused_in_one_chunk_and_in_two(void **state) {
    (void)state;
    struct chunk chunk = {.len = 0};
    append(&chunk, "name", "data");
    append(&chunk, "other", "data");
    append(&chunk, "name", "data");
    assert_true(unpacks(chunk.bytes, chunk.ends[2]));
    assert_false(unpacks(chunk.bytes, chunk.len));

    struct session *session = session_create();
    assert_true(chunk_unpack(session, chunk.bytes, chunk.ends[2]));
    assert_false(chunk_unpack(session, chunk.bytes + chunk.ends[2], chunk.len - chunk.ends[2]));
    assert_whole(session);
    session_free(session);
}

static void a_name_twice_is_refused_in_a_table_too(void **state) {
    (void)state;
    struct session *session = session_create();
    for (uint32_t n = 0; n < 1000; n++) put_bytes(session, &n, sizeof n, "data", 4);
    struct session *copy = session_create();
    pack_into(copy, session);
    for (uint32_t n = 0; n < 1000; n++) {
        struct chunk chunk = {.len = 0};
        append_head(&chunk, 4, 1);
        memcpy(chunk.bytes + chunk.len, &n, sizeof n);
        chunk.len += sizeof n;
        chunk.bytes[chunk.len++] = 'd';
        assert_false(chunk_unpack(copy, chunk.bytes, chunk.len));
    }
    session_free(session);
    session_free(copy);
}

static bool unpacks_with_lens(uint64_t name_len, uint64_t data_len) {
    struct chunk chunk = {.len = 0};
    append_head(&chunk, name_len, data_len);
    memset(chunk.bytes + chunk.len, 'x', 40);
    return unpacks(chunk.bytes, chunk.len + 40);
}

static void
lengths_of_nothing_past_the_end_and_around_the_largest_numbers_are_refused(void **state) {
    (void)state;
    static const uint64_t bad[] = {
        0,          41,        0x7fffffff,      0x80000000,      UINT32_MAX - 40,
        UINT32_MAX, INT64_MAX, UINT64_MAX - 48, UINT64_MAX - 40, UINT64_MAX - 2,
        UINT64_MAX};
    assert_true(unpacks_with_lens(20, 20));
    assert_true(unpacks_with_lens(1, 39));
    assert_true(unpacks_with_lens(39, 1));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(unpacks_with_lens(bad[i], 1));
        assert_false(unpacks_with_lens(1, bad[i]));
        assert_false(unpacks_with_lens(bad[i], 40 - bad[i])); /* their sum is right, modulo 2^64 */
        assert_false(unpacks_with_lens(40 - bad[i], bad[i]));
        for (size_t j = 0; j < sizeof bad / sizeof *bad; j++)
            assert_false(unpacks_with_lens(bad[i], bad[j]));
    }
}

/* A payload whose bytes are all there, NULs; with data of 512 MB it takes that much memory. */
static bool unpacks_of_nuls(uint32_t name_len, uint32_t data_len) {
    struct chunk head = {.len = 0};
    append_head(&head, name_len, data_len);
    struct fence nuls = fence_create(head.len + name_len + data_len);
    uint8_t *chunk = nuls.end - (head.len + name_len + data_len);
    memcpy(chunk, head.bytes, head.len);
    struct session *session = session_create();
    bool accepted = chunk_unpack(session, chunk, (size_t)(nuls.end - chunk));
    assert_int_equal(session_payloads(session), accepted);
    session_free(session);
    fence_free(nuls);
    return accepted;
}

static void the_longest_name_and_the_largest_data_unpack_and_one_byte_more_does_not(void **state) {
    (void)state;
    assert_true(unpacks_of_nuls(SESSION_NAME_MAX, 1));
    assert_false(unpacks_of_nuls(SESSION_NAME_MAX + 1, 1));
    memory = (struct memory){malloc, realloc, free}; /* quicker with such an amount */
    assert_true(unpacks_of_nuls(1, SESSION_DATA_MAX));
    assert_false(unpacks_of_nuls(1, SESSION_DATA_MAX + 1));
    start_counting(NULL);
}

/* So many payloads would take a gigabyte: the session is only told that it has them. */
static void a_payload_more_than_a_session_may_have_is_refused(void **state) {
    (void)state;
    struct chunk chunk = {.len = 0};
    append(&chunk, "a", "1");
    append(&chunk, "b", "2");
    struct session *session = session_of_numbers(100);
    session->spilled.table->payloads = SESSION_PAYLOADS_MAX - 1;
    assert_false(chunk_unpack(session, chunk.bytes, chunk.len));
    assert_int_equal(session_payloads(session), SESSION_PAYLOADS_MAX);
    assert_text(session, "a", "1");
    assert_false(has(session, "b", 1));
    session_free(session);
}

static int start(void **state) {
    fence = fence_create(512);
    return start_counting(state);
}

static int stop(void **state) {
    (void)state;
    fence_free(fence);
    return 0;
}

int main(void) {
#define SESSION_TEST(test) cmocka_unit_test_teardown(test, nothing_is_left)
    const struct CMUnitTest tests[] = {
        SESSION_TEST(any_number_of_payloads_packs_and_unpacks),
        SESSION_TEST(any_number_of_lives_packs_and_unpacks),
        SESSION_TEST(payloads_larger_than_a_chunk_pack_and_unpack),
        SESSION_TEST(a_chunk_is_name_len_data_len_name_data_of_each_payload),
        SESSION_TEST(a_life_is_a_nul_and_its_end_in_six_bytes_before_the_payload),
        SESSION_TEST(the_first_chunk_begins_with_the_times_and_the_number_of_payloads),
        SESSION_TEST(a_session_without_payloads_is_a_head_alone),
        SESSION_TEST(a_first_chunk_cut_anywhere_but_behind_its_head_is_refused),
        SESSION_TEST(a_head_with_a_number_out_of_bounds_is_refused),
        SESSION_TEST(the_owner_of_a_session_stands_behind_the_numbers_of_its_head),
        SESSION_TEST(an_owner_with_the_longest_label_and_many_payloads_packs_and_unpacks),
        SESSION_TEST(a_first_chunk_with_an_owner_cut_anywhere_but_behind_its_head_is_refused),
        SESSION_TEST(an_owner_of_no_byte_of_too_many_or_past_the_end_is_refused),
        SESSION_TEST(a_number_of_more_bytes_than_it_needs_is_refused),
        SESSION_TEST(a_chunk_ends_with_the_payload_that_fills_it),
        SESSION_TEST(every_chunk_but_the_last_is_full_and_none_is_fuller),
        SESSION_TEST(a_buffer_that_is_large_enough_is_kept),
        SESSION_TEST(a_session_unpacks_to_a_block_or_a_table_as_it_was),
        SESSION_TEST(a_block_that_was_taken_over_takes_further_chunks),
        SESSION_TEST(a_truncated_chunk_is_refused_unless_cut_between_payloads),
        SESSION_TEST(a_life_that_ends_at_no_time_is_refused_wherever_it_stands),
        SESSION_TEST(a_second_life_and_one_without_a_payload_are_refused),
        SESSION_TEST(a_table_takes_whole_lives_and_no_others),
        SESSION_TEST(a_name_twice_is_refused_whether_it_ends_or_not),
        SESSION_TEST(every_end_that_is_changed_in_a_byte_unpacks_to_that_end),
        SESSION_TEST(a_chunk_whose_beginning_is_cut_off_is_refused_unless_cut_between_payloads),
        SESSION_TEST(a_chunk_with_bytes_behind_it_is_refused_unless_they_are_a_payload),
        SESSION_TEST(every_change_of_a_byte_of_a_chunk_unpacks_to_the_same_bytes_or_is_refused),
        SESSION_TEST(a_name_twice_is_refused_in_one_chunk_and_in_two),
        SESSION_TEST(a_name_twice_is_refused_in_a_table_too),
        SESSION_TEST(lengths_of_nothing_past_the_end_and_around_the_largest_numbers_are_refused),
        SESSION_TEST(the_longest_name_and_the_largest_data_unpack_and_one_byte_more_does_not),
        SESSION_TEST(a_payload_more_than_a_session_may_have_is_refused),
    };
    return cmocka_run_group_tests_name("pack", tests, start, stop);
}
