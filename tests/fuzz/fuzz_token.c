/*
 * fuzz_token.c - whether a token verifies exactly when it is one that its id and the sign key make.
 *
 *     key_len  1 byte    0 is taken for 1; at most what is left
 *     sign_key key_len bytes
 *     token    the rest
 */
#include "fuzz.h"

#include <string.h>

#include "secret.h"
#include "slot.h"
#include "token.h"

#define ID_AT 3

static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

enum { ALPHANUMERIC = sizeof alphanumeric - 1 };

static const struct form {
    const char *version;
    size_t id_len;
    size_t signature_len;
    size_t pad_len;
    size_t signed_from;
    size_t len;
} forms[] = {
    {"v1.", 16, 64, 0, ID_AT, TOKEN_V1_LEN},
    {"v2.", 22, 32, 3, 0, TOKEN_V2_LEN},
};

struct sign_key {
    const uint8_t *bytes;
    size_t len;
};

static bool all_alphanumeric(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!memchr(alphanumeric, text[i], ALPHANUMERIC)) return false;
    return true;
}

/* The one token of that form, id, pad and sign key. */
static void make_token(char token[TOKEN_MAX_LEN + 1], const struct form *form, const char *id,
                       const char *pad, struct sign_key key) {
    size_t id_end = ID_AT + form->id_len;
    memcpy(token, form->version, ID_AT);
    memcpy(token + ID_AT, id, form->id_len);
    token[id_end] = '.';

    uint8_t mac[SECRET_MAC_LEN];
    secret_sign(mac, secret_signer(key.bytes, key.len), token + form->signed_from,
                id_end - form->signed_from);
    char *signature = token + id_end + 1;
    for (size_t i = 0; i < form->signature_len / 2; i++)
        snprintf(signature + 2 * i, 3, "%02x", mac[i]);
    memcpy(signature + form->signature_len, pad, form->pad_len);
}

/* Whether token is what its own id and pad make. */
static bool is_right(const char *token, size_t len, struct sign_key key) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *form = &forms[i];
        if (len != form->len) continue;
        const char *id = token + ID_AT, *pad = token + len - form->pad_len;
        if (!all_alphanumeric(id, form->id_len) || !all_alphanumeric(pad, form->pad_len)) continue;
        char right[TOKEN_MAX_LEN + 1];
        make_token(right, form, id, pad, key);
        if (memcmp(token, right, len) == 0) return true;
    }
    return false;
}

static void check_answer(const char *token, size_t len, struct sign_key key) {
    bool right = is_right(token, len, key);
    enum error error = token_verify(token, len, key.bytes, key.len);
    require((error == ERROR_NONE) == right, "a right token verifies and no other does");
    require((error == ERROR_TOKEN_EMPTY) == (len == 0), "an empty token is called empty");
    bool has_form = error == ERROR_NONE || error == ERROR_SIGNATURE;
    require(token_has_form(token, len) == has_form, "what has the form is judged by its signature");

    struct token_memory remembered = {{0}};
    static const struct token_memory nothing;
    for (int i = 0; i < 2; i++) {
        enum error again = token_verify_once(&remembered, token, len, key.bytes, key.len);
        require(again == error, "a remembered verification gives the same answer");
        bool is_remembered = memcmp(&remembered, &nothing, sizeof nothing) != 0;
        require(is_remembered == right, "what verified is remembered and nothing else is");
    }
}

/* A right token made of the input, as a fuzzer cannot guess one; the same steered into a slot; and
 * the same with a byte changed. */
static void check_made_token(const struct form *form, const uint8_t *input, size_t input_len,
                             struct sign_key key) {
    char id[TOKEN_MAX_LEN], token[TOKEN_MAX_LEN + 1];
    for (size_t i = 0; i < sizeof id; i++)
        id[i] = alphanumeric[input[i % input_len] % ALPHANUMERIC];
    make_token(token, form, id, id + form->id_len, key);
    check_answer(token, form->len, key);
    require(token_verify(token, form->len, key.bytes, key.len) == ERROR_NONE, "it verifies");

    if (form->len == TOKEN_V2_LEN) {
        uint16_t slot = (uint16_t)((input[0] << 8 | input[input_len - 1]) % SLOT_COUNT);
        token_steer(token, slot);
        require(slot_of(token, TOKEN_V2_LEN) == slot, "a steered token is of that slot");
        check_answer(token, TOKEN_V2_LEN, key);
    }

    size_t at = input[input_len / 2] % form->len;
    bool is_signed = at < form->len - form->pad_len;
    bool is_changed = token[at] != (char)input[input_len - 1];
    token[at] = (char)input[input_len - 1];
    check_answer(token, form->len, key);
    if (is_changed && is_signed)
        require(token_verify(token, form->len, key.bytes, key.len) != ERROR_NONE,
                "a token that was changed before its pad does not verify");
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len) {
    static bool started;
    if (!started) require(started = secret_start(), "libsodium starts");
    if (input_len < 2) return 0;

    struct sign_key key = {input + 1, input[0] ? input[0] : 1};
    if (key.len > input_len - 1) key.len = input_len - 1;
    check_answer((const char *)key.bytes + key.len, input_len - 1 - key.len, key);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_made_token(&forms[i], input, input_len, key);
    return 0;
}
