/*
 * sha256.h - one step of SHA-256 (FIPS 180-4) by the processor's own instructions.
 *
 * libsodium computes SHA-256 in plain C; processors with SHA extensions do it in a tenth of the
 * instructions. This is the compression alone, for secret.c to finish an HMAC with; where the
 * processor has no such instructions, libsodium does it all.
 */
#ifndef SESSIONGATE_SHA256_H
#define SESSIONGATE_SHA256_H

#include <stdbool.h>
#include <stdint.h>

#define SHA256_BLOCK_LEN 64

/* Whether this processor can. */
bool sha256_is_native(void);

/* Compresses a block into the state (FIPS 180-4, 6.2.2); only where sha256_is_native. */
void sha256_compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK_LEN]);

#endif
