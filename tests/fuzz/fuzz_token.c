/*
 * fuzz_token.c - whether a token verifies exactly when it is the one that its id and the sign key
 * make.
 *
 *     key_len  1 byte    0 is taken for 1; at most what is left
 *     sign_key key_len bytes
 *     token    the rest
 */
#include "fuzz.h"

#include <string.h>

#include "token.h"

#define ID_AT 3
#define ID_LEN 16
#define SIGNATURE_AT 20

static const char id_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

struct sign_key {
    const uint8_t *bytes;
    size_t len;
};

/* The one token of that id and sign key. */
static void make_token(char token[TOKEN_LEN + 1], const char *id, struct sign_key key) {
    uint8_t mac[SECRET_MAC_LEN];
    secret_sign(mac, key.bytes, key.len, id, ID_LEN);
    snprintf(token, TOKEN_LEN + 1, "v1.%.16s.", id);
    for (size_t i = 0; i < sizeof mac; i++)
        snprintf(token + SIGNATURE_AT + 2 * i, 3, "%02x", mac[i]);
}

static bool has_id(const char *token, size_t token_len) {
    if (token_len < SIGNATURE_AT) return false;
    for (size_t at = ID_AT; at < ID_AT + ID_LEN; at++)
        if (!memchr(id_characters, token[at], sizeof id_characters - 1)) return false;
    return true;
}

static void check_answer(const char *token, size_t token_len, struct sign_key key) {
    char right[TOKEN_LEN + 1] = "";
    if (has_id(token, token_len)) make_token(right, token + ID_AT, key);
    bool is_right = *right && token_len == TOKEN_LEN && memcmp(token, right, TOKEN_LEN) == 0;

    enum error error = token_verify(token, token_len, key.bytes, key.len);
    require((error == ERROR_NONE) == is_right, "the right token verifies and no other does");
    require((error == ERROR_TOKEN_EMPTY) == (token_len == 0), "an empty token is called empty");
    require(error != ERROR_SIGNATURE || *right, "only what has an id has a bad signature");

    struct token_memory remembered = {{0}};
    static const struct token_memory nothing;
    for (int i = 0; i < 2; i++) {
        enum error again = token_verify_once(&remembered, token, token_len, key.bytes, key.len);
        require(again == error, "a remembered verification gives the same answer");
        bool is_remembered = memcmp(&remembered, &nothing, sizeof nothing) != 0;
        require(is_remembered == is_right, "what verified is remembered and nothing else is");
    }
}

/* A right token made of the input, as a fuzzer cannot guess one, and the same with a byte changed
 * to the input's last one. */
static void check_made_token(const uint8_t *input, size_t input_len, struct sign_key key) {
    char id[ID_LEN], token[TOKEN_LEN + 1];
    for (size_t i = 0; i < ID_LEN; i++)
        id[i] = id_characters[input[i % input_len] % (sizeof id_characters - 1)];
    make_token(token, id, key);
    check_answer(token, TOKEN_LEN, key);

    char *changed = &token[input[input_len / 2] % TOKEN_LEN];
    bool is_same = *changed == (char)input[input_len - 1];
    *changed = (char)input[input_len - 1];
    check_answer(token, TOKEN_LEN, key);
    require(is_same || token_verify(token, TOKEN_LEN, key.bytes, key.len) != ERROR_NONE,
            "a changed token does not verify");
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len) {
    static bool started;
    if (!started) require(started = secret_start(), "libsodium starts");
    if (input_len < 2) return 0;

    struct sign_key key = {input + 1, input[0] ? input[0] : 1};
    if (key.len > input_len - 1) key.len = input_len - 1;
    check_answer((const char *)key.bytes + key.len, input_len - 1 - key.len, key);
    check_made_token(input, input_len, key);
    return 0;
}
