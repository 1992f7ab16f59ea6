/*
 * token.h - tokens: made, and verified.
 *
 *     v1.3aKq9xZtB07LmPdW.5d41402abc4b2a76b9719d911017c592ae1f...    84 bytes
 *     -- ---------------- ------------------------------------
 *      2        16                        64
 *     |  |                |
 *     |  id: 16 characters, each drawn uniformly from a-zA-Z0-9 (95 bits)
 *     |                   signature: lower-case hex of HMAC-SHA256(sign_key, id)
 *     version
 */
#ifndef SESSIONGATE_TOKEN_H
#define SESSIONGATE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "secret.h"
#include "error.h"

#define TOKEN_LEN 84

/* Makes a new token, signed with sign_key (sign_key_len >= 1). No NUL is written after it. */
void token_mint(char token[TOKEN_LEN], const void *sign_key, size_t sign_key_len);

/* Whether token is of a token's form and signed with sign_key: ERROR_NONE, ERROR_TOKEN_EMPTY,
 * ERROR_TOKEN_FORM or ERROR_SIGNATURE. The signature is compared in constant time. */
__attribute__((warn_unused_result)) enum error token_verify(const char *token, size_t token_len,
                                                            const void *sign_key,
                                                            size_t sign_key_len);

/* The memory of one verification: which pair of token and sign key verified last. All zeros: none.
 * It means nothing outside this process, and cannot be turned back into the sign key. */
struct token_memory {
    uint64_t pair[2];
};

/* As token_verify, but at once when this very pair is the one remembered; a pair that verifies is
 * remembered from then on. */
__attribute__((warn_unused_result)) enum error
token_verify_once(struct token_memory *remembered, const char *token, size_t token_len,
                  const void *sign_key, size_t sign_key_len);

#endif
