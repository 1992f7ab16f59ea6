/*
 * token.c - the v1 token of token.h: its form, its making, its verification.
 *
 * A verified pair is remembered as the fingerprint of the sign key XOR the hash of the token, each under
 * random keys of this process. The token is in it so that a session which was renamed or copied is not
 * opened by what was verified for its old name. SipHash for both would cost 500 instructions more, a
 * fifteenth of a whole PGET.
 */
#include "token.h"

#include <stdbool.h>
#include <string.h>

#define ID_AT 3
#define ID_LEN 16
#define SIGNATURE_AT (ID_AT + ID_LEN + 1)
#define SIGNATURE_LEN (2 * SECRET_MAC_LEN)

_Static_assert(TOKEN_LEN <= SECRET_NAME_MAX, "a token can be hashed");
_Static_assert(sizeof(struct token_memory) == SECRET_FINGERPRINT_LEN, "a fingerprint fits");
_Static_assert(SIGNATURE_AT + SIGNATURE_LEN == TOKEN_LEN, "the parts make up the token");

static const char id_alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char hex_alphabet[] = "0123456789abcdef";

/* A character of the id's alphabet, each as likely as the others: six random bits are taken when they
 * number a character, and drawn again otherwise (a modulo would favour the first ones). */
static char id_character(void) {
    for (;;) {
        unsigned number = secret_random_byte() & 63U;
        if (number < sizeof id_alphabet - 1) return id_alphabet[number];
    }
}

/* Writes the signature of the id under sign_key, in hex. */
static void sign(char signature[SIGNATURE_LEN], const char id[ID_LEN], const void *sign_key,
                 size_t sign_key_len) {
    uint8_t mac[SECRET_MAC_LEN];
    secret_sign(mac, sign_key, sign_key_len, id, ID_LEN);
    for (size_t i = 0; i < SECRET_MAC_LEN; i++) {
        signature[2 * i] = hex_alphabet[mac[i] >> 4];
        signature[2 * i + 1] = hex_alphabet[mac[i] & 15];
    }
}

static bool all_alphanumeric(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

static bool all_hex(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return true;
}

static bool has_form(const char *token, size_t token_len) {
    return token_len == TOKEN_LEN && memcmp(token, "v1.", ID_AT) == 0 &&
           all_alphanumeric(token + ID_AT, ID_LEN) && token[SIGNATURE_AT - 1] == '.' &&
           all_hex(token + SIGNATURE_AT, SIGNATURE_LEN);
}

void token_mint(char token[TOKEN_LEN], const void *sign_key, size_t sign_key_len) {
    memcpy(token, "v1.", ID_AT);
    for (size_t i = 0; i < ID_LEN; i++) token[ID_AT + i] = id_character();
    token[SIGNATURE_AT - 1] = '.';
    sign(token + SIGNATURE_AT, token + ID_AT, sign_key, sign_key_len);
}

enum error token_verify(const char *token, size_t token_len, const void *sign_key,
                        size_t sign_key_len) {
    if (token_len == 0) return ERROR_TOKEN_EMPTY;
    if (!has_form(token, token_len)) return ERROR_TOKEN_FORM;
    char signature[SIGNATURE_LEN];
    sign(signature, token + ID_AT, sign_key, sign_key_len);
    bool same = secret_equal(signature, token + SIGNATURE_AT, SIGNATURE_LEN);
    return same ? ERROR_NONE : ERROR_SIGNATURE;
}

enum error token_verify_once(struct token_memory *remembered, const char *token, size_t token_len,
                             const void *sign_key, size_t sign_key_len) {
    if (token_len > SECRET_NAME_MAX) return ERROR_TOKEN_FORM;
    struct token_memory now;
    secret_fingerprint((uint8_t *)now.pair, sign_key, sign_key_len);
    now.pair[0] ^= secret_name_hash(token, token_len);
    /* Without a branch between the halves: the time does not tell which one differs. */
    if (((now.pair[0] ^ remembered->pair[0]) | (now.pair[1] ^ remembered->pair[1])) == 0)
        return ERROR_NONE;

    enum error error = token_verify(token, token_len, sign_key, sign_key_len);
    if (error == ERROR_NONE) *remembered = now;
    return error;
}
