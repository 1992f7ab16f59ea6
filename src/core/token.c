/*
 * token.c - the tokens of token.h: their form, their making, their verification.
 *
 * A verified pair of sign key and token is remembered as one hash of both. The token is in it so
 * that a session which was renamed or copied is not opened by what was verified for its old name. A
 * wrong pair has that hash with a chance of 2^-64, whatever was tried before. SipHash for both
 * would cost a ninth of a whole PGET more.
 */
#include "token.h"

#include <string.h>

#include "pairhash.h"
#include "secret.h"
#include "slot.h"

#define VERSION_LEN 3 /* with its dot */
#define SIGNATURE_MAX_LEN (2 * SECRET_MAC_LEN)

/* The parts of a token of each format, in order: version, id, dot, signature, pad. */
static const struct layout {
    char version[VERSION_LEN + 1];
    size_t id_len;
    size_t signature_len;
    size_t pad_len;
    size_t signed_at, signed_len; /* the part that is signed */
} layouts[] = {
    [TOKEN_V1] = {"v1.", 16, 64, 0, VERSION_LEN, 16},
    [TOKEN_V2] = {"v2.", 22, 32, SLOT_PAD_LEN, 0, VERSION_LEN + 22},
};

_Static_assert(TOKEN_V1_LEN == VERSION_LEN + 16 + 1 + 64, "the parts of v1");
_Static_assert(TOKEN_V2_LEN == VERSION_LEN + 22 + 1 + 32 + SLOT_PAD_LEN, "the parts of v2");
_Static_assert(TOKEN_MAX_LEN <= PAIRHASH_NAME_MAX, "a token can be hashed");

static const char id_alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static size_t signature_at(const struct layout *layout) {
    return VERSION_LEN + layout->id_len + 1;
}

size_t token_len(enum token_format format) {
    const struct layout *layout = &layouts[format];
    return signature_at(layout) + layout->signature_len + layout->pad_len;
}

enum token_format token_format(size_t len) {
    return len == TOKEN_V2_LEN ? TOKEN_V2 : TOKEN_V1;
}

/* Fills text with characters of the alphabet, each as likely as the others: six random bits are
 * taken when they number a character, and drawn again otherwise (a modulo would favour the first
 * ones). */
static void fill_random(char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        unsigned number = secret_random_byte() & 63U;
        if (number < sizeof id_alphabet - 1) text[i++] = id_alphabet[number];
    }
}

/* 39 lies between '9' + 1 and 'a'. By arithmetic: where a table was read would tell a program on the
 * same processor what a signature should have been, and vectors do it faster. */
static char digit_of(unsigned nibble) {
    return (char)('0' + nibble + ((9 - nibble) >> 8 & 39));
}

static void write_hex(char *hex, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digit_of(bytes[i] >> 4);
        hex[2 * i + 1] = digit_of(bytes[i] & 15U);
    }
}

/* Writes the signature that signer gives the token, in hex. */
static void write_signature(char *signature, const struct layout *layout, const char *token,
                            const struct secret_signer *signer) {
    uint8_t mac[SECRET_MAC_LEN];
    secret_sign(mac, signer, token + layout->signed_at, layout->signed_len);
    write_hex(signature, mac, layout->signature_len / 2);
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

bool token_may_be(const char *token, size_t len) {
    if (len != TOKEN_V1_LEN && len != TOKEN_V2_LEN) return false;
    return memcmp(token, layouts[token_format(len)].version, VERSION_LEN) == 0;
}

bool token_has_form(const char *token, size_t len) {
    if (!token_may_be(token, len)) return false;
    const struct layout *layout = &layouts[token_format(len)];
    size_t dot = VERSION_LEN + layout->id_len;
    return all_alphanumeric(token + VERSION_LEN, layout->id_len) && token[dot] == '.' &&
           all_hex(token + dot + 1, layout->signature_len) &&
           all_alphanumeric(token + dot + 1 + layout->signature_len, layout->pad_len);
}

void token_mint(char token[TOKEN_MAX_LEN], enum token_format format,
                const struct secret_signer *signer) {
    const struct layout *layout = &layouts[format];
    char *signature = token + signature_at(layout);
    memcpy(token, layout->version, VERSION_LEN);
    fill_random(token + VERSION_LEN, layout->id_len);
    signature[-1] = '.';
    write_signature(signature, layout, token, signer);
    fill_random(signature + layout->signature_len, layout->pad_len);
}

void token_steer(char token[TOKEN_V2_LEN], uint16_t slot) {
    size_t pad_at = TOKEN_V2_LEN - SLOT_PAD_LEN;
    slot_pad(token + pad_at, token, pad_at, slot);
}

/* The parts of a v2 token, and where they are when it is packed. */
enum {
    V2_ID_LEN = 22,
    V2_SIGNATURE_LEN = 32,
    V2_ID_AT = VERSION_LEN,
    V2_SIGNATURE_AT = V2_ID_AT + V2_ID_LEN + 1,
    V2_PAD_AT = V2_SIGNATURE_AT + V2_SIGNATURE_LEN,
    PACKED_SIGNATURE_AT = V2_ID_LEN,
    PACKED_PAD_AT = PACKED_SIGNATURE_AT + V2_SIGNATURE_LEN / 2,
};

_Static_assert(TOKEN_PACKED_LEN == PACKED_PAD_AT + SLOT_PAD_LEN, "all of a token is packed");

static uint8_t hex_digit(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void token_pack(uint8_t packed[TOKEN_PACKED_LEN], const char token[TOKEN_V2_LEN]) {
    memcpy(packed, token + V2_ID_AT, V2_ID_LEN);
    const char *hex = token + V2_SIGNATURE_AT;
    for (size_t i = 0; i < V2_SIGNATURE_LEN / 2; i++)
        packed[PACKED_SIGNATURE_AT + i] =
            (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    memcpy(packed + PACKED_PAD_AT, token + V2_PAD_AT, SLOT_PAD_LEN);
}

void token_unpack(char token[TOKEN_V2_LEN], const uint8_t packed[TOKEN_PACKED_LEN]) {
    memcpy(token, layouts[TOKEN_V2].version, VERSION_LEN);
    memcpy(token + V2_ID_AT, packed, V2_ID_LEN);
    token[V2_ID_AT + V2_ID_LEN] = '.';
    write_hex(token + V2_SIGNATURE_AT, packed + PACKED_SIGNATURE_AT, V2_SIGNATURE_LEN / 2);
    memcpy(token + V2_PAD_AT, packed + PACKED_PAD_AT, SLOT_PAD_LEN);
}

enum error token_verify(const char *token, size_t len, const void *sign_key, size_t sign_key_len) {
    if (len == 0) return ERROR_TOKEN_EMPTY;
    if (!token_has_form(token, len)) return ERROR_TOKEN_FORM;
    const struct layout *layout = &layouts[token_format(len)];
    char signature[SIGNATURE_MAX_LEN];
    write_signature(signature, layout, token, secret_signer(sign_key, sign_key_len));
    bool same = secret_equal(signature, token + signature_at(layout), layout->signature_len);
    return same ? ERROR_NONE : ERROR_SIGNATURE;
}

enum error token_verify_once(struct token_memory *remembered, const char *token, size_t len,
                             const void *sign_key, size_t sign_key_len) {
    if (len > PAIRHASH_NAME_MAX) return ERROR_TOKEN_FORM;
    struct token_memory now;
    pairhash(now.pair, sign_key, sign_key_len, token, len);
    /* Without a branch between the halves: the time does not tell which one differs. */
    if (((now.pair[0] ^ remembered->pair[0]) | (now.pair[1] ^ remembered->pair[1])) == 0)
        return ERROR_NONE;

    enum error error = token_verify(token, len, sign_key, sign_key_len);
    if (error == ERROR_NONE) *remembered = now;
    return error;
}
