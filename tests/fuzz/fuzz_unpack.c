/*
 * fuzz_unpack.c - whether any bytes, taken for a chunk of payloads, are refused or give a whole
 * session that can be used and packs to the same payloads again.
 */
#include "fuzz.h"

#include <string.h>

#include "chunk.h"
#include "memory.h"
#include "secret.h"
#include "session.h"

static void require_whole(const struct session *session) {
    struct session_cursor cursor = {0};
    struct payload payload, found;
    size_t payloads = 0, bytes = 0, lives = 0;
    while (session_next(session, &cursor, &payload)) {
        require(payload.name_len >= 1 && payload.name_len <= SESSION_NAME_MAX,
                "a name has a lawful length");
        require(payload.data_len >= 1 && payload.data_len <= SESSION_DATA_MAX,
                "data has a lawful length");
        require(session_get(session, payload.name, payload.name_len, &found) &&
                    found.data == payload.data,
                "a payload is found by its name");
        require(payload.ends_at >= 0 && payload.ends_at <= PAYLOAD_ENDS_AT_MAX,
                "a life has a lawful end");
        payloads++;
        bytes += payload.name_len + payload.data_len;
        lives += payload.ends_at != 0;
    }
    require(lives == session_over(session, PAYLOAD_ENDS_AT_MAX, UINT32_MAX).payloads,
            "the session knows of each payload that ends");
    require(payloads == session_payloads(session), "a walk finds every payload");
    require(bytes == session_payload_bytes(session), "the bytes are counted right");
}

static void require_same(const struct session *a, const struct session *b) {
    require(session_payloads(a) == session_payloads(b), "both sessions have as many payloads");
    struct session_cursor cursor = {0};
    struct payload payload, other;
    while (session_next(a, &cursor, &payload)) {
        require(session_get(b, payload.name, payload.name_len, &other) &&
                    other.data_len == payload.data_len && other.ends_at == payload.ends_at &&
                    memcmp(other.data, payload.data, payload.data_len) == 0,
                "both sessions have the same payload of a name");
    }
}

/* Packs the session and unpacks it again; gives the bytes it took. */
static size_t require_packs(const struct session *session) {
    struct session *unpacked = session_create();
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len, all = 0;
    while ((len = chunk_pack(session, &cursor, &buffer, &capacity)) > 0) {
        require(chunk_unpack(unpacked, buffer, len), "what was packed unpacks");
        require(!chunk_unpack(unpacked, buffer, len), "no chunk unpacks twice");
        require_whole(unpacked);
        all += len;
    }
    memory.free(buffer);
    require_same(session, unpacked);
    session_free(unpacked);
    return all;
}

/* Gives each payload's data another length, then deletes one payload after the other. */
static void use(struct session *session, const struct session *names) {
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(names, &cursor, &payload)) {
        size_t new_len = 1 + payload.name_len % 40;
        uint8_t data[40] = {0};
        memcpy(data, payload.name, new_len - 1);
        struct payload changed = {payload.name, data, payload.name_len, new_len,
                                  payload.name_len % 3 ? payload.ends_at : INT64_C(1) << 40};
        require(!session_put(session, &changed), "a name is there");
    }
    require_whole(session);
    require_packs(session);
    struct session *swept = session_copy(session);
    uint32_t over = session_over(swept, INT64_C(1) << 40, UINT32_MAX).payloads;
    require(session_sweep(swept, INT64_C(1) << 40, UINT32_MAX) == over, "what is over is swept");
    require_whole(swept);
    session_free(swept);

    cursor = (struct session_cursor){0};
    while (session_next(names, &cursor, &payload)) {
        struct payload gone;
        require(session_delete(session, payload.name, payload.name_len),
                "a payload can be deleted");
        require(!session_get(session, payload.name, payload.name_len, &gone),
                "what was deleted is gone");
        uint32_t left = session_payloads(session);
        if ((left & (left - 1)) == 0) require_whole(session);
    }
    struct session *empty = session_create();
    require(session_memory(session) == session_memory(empty), "an emptied session is small again");
    session_free(empty);
}

/* The same bytes taken for a first chunk: a head, and payloads behind it. */
static void unpack_first(const uint8_t *input, size_t input_len) {
    struct session *session = session_create();
    uint32_t payloads = 0;
    bool accepted = chunk_unpack_first(&session, input, input_len, &payloads);
    require_whole(session);
    if (accepted) {
        require(payloads <= SESSION_PAYLOADS_MAX, "the payloads announced are in bounds");
        require(session->times.created_ms >= 0 && session->times.deadline_ms >= 0,
                "times are not negative");
        require(session->owner_len <= SESSION_OWNER_MAX, "a label has a lawful length");
    }
    session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len) {
    static bool started;
    if (!started) require(started = secret_start(), "libsodium starts");

    unpack_first(input, input_len);
    struct session *session = session_create();
    bool accepted = chunk_unpack(session, input, input_len);
    require_whole(session);
    require(!accepted || require_packs(session) == input_len, "each byte of a chunk counts");
    require(!chunk_unpack(session, input, input_len) || !accepted, "no chunk unpacks twice");
    require_whole(session);

    /* A refused chunk may have left payloads behind: they too are to be freed, at least. */
    struct session *copy = session_copy(session);
    require_same(session, copy);
    use(copy, session);
    session_free(copy);
    session_free(session);
    return 0;
}
