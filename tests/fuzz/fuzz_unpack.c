/*
 * fuzz_unpack.c - whether any bytes, taken for a chunk of payloads, are refused or give a whole
 * session that can be used and packs to the same payloads again.
 */
#include "fuzz.h"

#include <string.h>

#include "memory.h"
#include "secret.h"
#include "session.h"

static void require_whole(const struct session *session) {
    struct session_cursor cursor = {0};
    const struct payload *payload;
    size_t payloads = 0, bytes = 0;
    while ((payload = session_next(session, &cursor))) {
        require(payload->name_len >= 1 && payload->name_len <= SESSION_NAME_MAX,
                "a name has a lawful length");
        require(payload->data_len >= 1 && payload->data_len <= SESSION_DATA_MAX,
                "data has a lawful length");
        require(session_get(session, payload_name(payload), payload->name_len) == payload,
                "a payload is found by its name");
        payloads++;
        bytes += payload->name_len + (size_t)payload->data_len;
    }
    require(payloads == session->payloads, "a walk finds every payload");
    require(bytes == session->payload_bytes, "the bytes are counted right");
}

static void require_same(const struct session *a, const struct session *b) {
    require(a->payloads == b->payloads, "both sessions have as many payloads");
    struct session_cursor cursor = {0};
    const struct payload *payload, *other;
    while ((payload = session_next(a, &cursor))) {
        other = session_get(b, payload_name(payload), payload->name_len);
        require(other && other->data_len == payload->data_len &&
                    memcmp(payload_data(other), payload_data(payload), payload->data_len) == 0,
                "both sessions have the same payload of a name");
    }
}

/* Packs the session and unpacks it again; gives the bytes it took. */
static size_t require_packs(const struct session *session) {
    struct session *unpacked = session_create();
    struct session_cursor cursor = {0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len, all = 0;
    while ((len = session_pack(session, &cursor, &buffer, &capacity)) > 0) {
        require(session_unpack(unpacked, buffer, len), "what was packed unpacks");
        require(!session_unpack(unpacked, buffer, len), "no chunk unpacks twice");
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
    const struct payload *payload;
    while ((payload = session_next(names, &cursor))) {
        const uint8_t *name = payload_name(payload);
        size_t new_len = 1 + payload->name_len % 40;
        uint8_t data[40] = {0};
        memcpy(data, name, new_len - 1);
        require(!session_put(session, name, payload->name_len, data, new_len), "a name is there");
    }
    require_whole(session);
    require_packs(session);

    cursor = (struct session_cursor){0};
    while ((payload = session_next(names, &cursor))) {
        const uint8_t *name = payload_name(payload);
        require(session_delete(session, name, payload->name_len), "a payload can be deleted");
        require(!session_get(session, name, payload->name_len), "what was deleted is gone");
        bool is_power_of_two = (session->payloads & (session->payloads - 1)) == 0;
        if (is_power_of_two) require_whole(session);
    }
    struct session *empty = session_create();
    require(session_memory(session) == session_memory(empty), "an emptied session is small again");
    session_free(empty);
}

/* The same bytes taken for a first chunk: a head, and payloads behind it. */
static void unpack_first(const uint8_t *input, size_t input_len) {
    struct session *session = session_create();
    uint32_t payloads = 0;
    bool accepted = session_unpack_first(session, input, input_len, &payloads);
    require_whole(session);
    if (accepted) {
        require(payloads <= SESSION_PAYLOADS_MAX, "the payloads announced are in bounds");
        require(session->times.created_ms >= 0 && session->times.deadline_ms >= 0,
                "times are not negative");
    }
    session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len) {
    static bool started;
    if (!started) require(started = secret_start(), "libsodium starts");

    unpack_first(input, input_len);
    struct session *session = session_create();
    bool accepted = session_unpack(session, input, input_len);
    require_whole(session);
    require(!accepted || require_packs(session) == input_len, "each byte of a chunk counts");
    require(!session_unpack(session, input, input_len) || !accepted, "no chunk unpacks twice");
    require_whole(session);

    /* A refused chunk may have left payloads behind: they too are to be freed, at least. */
    struct session *copy = session_copy(session);
    require_same(session, copy);
    use(copy, session);
    session_free(copy);
    session_free(session);
    return 0;
}
