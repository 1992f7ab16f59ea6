/*
 * token.h - tokens: made, and verified.
 *
 *     v1.3aKq9xZtB07LmPdW.29e3793852110380a17bd3162afc7653cf4e...          84 bytes
 *     -- ---------------- ------------------------------------
 *     |  id: 16           signature: 64
 *     |                   lower-case hex of HMAC-SHA256(sign_key, id)
 *     version
 *
 *     v2.3aKq9xZtB07LmPdWm4Rs8Q.a89582b83061166735ec423cb838ffa5x7K        61 bytes
 *     -- ---------------------- -----------------------------------
 *     |  id: 22                 signature: 32                   pad: 3
 *     |                         lower-case hex of the first 16 bytes of
 *     version                   HMAC-SHA256(sign_key, "v2." + id)
 *
 * Both are signed with the key "my-secret-sign-key". Each character of an id is drawn uniformly
 * from a-zA-Z0-9: 95 bits in v1, 131 bits in v2. The pad, of the same characters, is not signed: it
 * puts a token into a hash slot. With another pad a token is the name of another key, and so finds
 * nothing. What is signed is 16 bytes without a dot in v1 and 25 bytes with one in v2: the
 * signature of one is never the signature of the other.
 */
#ifndef SESSIONGATE_TOKEN_H
#define SESSIONGATE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum token_format { TOKEN_V1, TOKEN_V2 };

#define TOKEN_V1_LEN 84
#define TOKEN_V2_LEN 61
#define TOKEN_MAX_LEN 84

/* The length of a token of that format. */
size_t token_len(enum token_format format);

/* The format of a token, by its length; for one that was verified. */
enum token_format token_format(size_t len);

/* Makes a new token of that format, signed by signer, with a random pad. */
struct secret_signer;
void token_mint(char token[TOKEN_MAX_LEN], enum token_format format,
                const struct secret_signer *signer);

/* Sets the pad of a v2 token so that the token falls into that hash slot. */
void token_steer(char token[TOKEN_V2_LEN], uint16_t slot);

/* Whether these bytes may be a token, by their length and version alone. Whatever is looked up as a
 * key has to pass it: an argument of another kind, a sign key say, would be named to those who hear
 * of keys that are missing. */
bool token_may_be(const char *token, size_t len);

/* Whether these bytes have the form of a token, whoever signed it. */
bool token_has_form(const char *token, size_t len);

/* A token of v2's form in fewer bytes: id, signature in binary, pad. What was not packed from a
 * token may unpack to something that has not the form of one. */
#define TOKEN_PACKED_LEN 41
void token_pack(uint8_t packed[TOKEN_PACKED_LEN], const char token[TOKEN_V2_LEN]);
void token_unpack(char token[TOKEN_V2_LEN], const uint8_t packed[TOKEN_PACKED_LEN]);

/* Whether token is of a token's form and signed with sign_key: ERROR_NONE, ERROR_TOKEN_EMPTY,
 * ERROR_TOKEN_FORM or ERROR_SIGNATURE. The signature is compared in constant time. */
__attribute__((warn_unused_result)) enum error
token_verify(const char *token, size_t len, const void *sign_key, size_t sign_key_len);

/* The memory of one verification: which pair of token and sign key verified last. All zeros: none.
 * It means nothing outside this process, and cannot be turned back into the sign key. */
struct token_memory {
    uint64_t pair[2];
};

/* As token_verify, but at once when this very pair is the one remembered; a pair that verifies is
 * remembered from then on. */
__attribute__((warn_unused_result)) enum error token_verify_once(struct token_memory *remembered,
                                                                 const char *token, size_t len,
                                                                 const void *sign_key,
                                                                 size_t sign_key_len);

#endif
