/*
 * secret.c - HMAC, keyed hashes and randomness; the only file that includes sodium.h.
 *
 * An HMAC-SHA256 of a short message is four compressions of SHA-256, and two of them depend on the
 * key alone. The states after those two are kept for the sign keys seen last, which halves the cost
 * of starting a session and of verifying a token for the first time.
 *
 *     signers[]  one slot a sign key, found by the first byte of the sign key's fingerprint
 *                +-------------+--------------------------------+
 *                | fingerprint | HMAC state after the sign key  |
 *                +-------------+--------------------------------+
 *
 * A state is as secret as its sign key: it never leaves this file, and working copies are wiped.
 */
#include "secret.h"

#include <sodium.h>
#include <string.h>

#define SIGNERS 16

struct signer {
    uint8_t fingerprint[SECRET_FINGERPRINT_LEN];
    crypto_auth_hmacsha256_state keyed;
    bool used;
};

static struct signer signers[SIGNERS];
static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static uint8_t fingerprint_key[crypto_shorthash_siphashx24_KEYBYTES];
static uint64_t name_keys[2][SECRET_NAME_MAX / 4 + 2]; /* for the length, and for each four bytes */

_Static_assert(SECRET_MAC_LEN == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256 gives 32 bytes");
_Static_assert(SECRET_FINGERPRINT_LEN == crypto_shorthash_siphashx24_BYTES, "a 128-bit SipHash");

bool secret_start(void) {
    if (sodium_init() < 0) return false;
    randombytes_buf(hash_key, sizeof hash_key);
    randombytes_buf(fingerprint_key, sizeof fingerprint_key);
    randombytes_buf(name_keys, sizeof name_keys);
    return true;
}

/* The signer of key, from its slot or made anew there. */
static const struct signer *signer_of(const void *key, size_t key_len) {
    uint8_t fingerprint[SECRET_FINGERPRINT_LEN];
    secret_fingerprint(fingerprint, key, key_len);
    struct signer *signer = &signers[fingerprint[0] % SIGNERS];
    if (!signer->used || !secret_equal(signer->fingerprint, fingerprint, sizeof fingerprint)) {
        crypto_auth_hmacsha256_init(&signer->keyed, key, key_len);
        memcpy(signer->fingerprint, fingerprint, sizeof fingerprint);
        signer->used = true;
    }
    return signer;
}

void secret_sign(uint8_t mac[SECRET_MAC_LEN], const void *key, size_t key_len, const void *message,
                 size_t message_len) {
    crypto_auth_hmacsha256_state state = signer_of(key, key_len)->keyed;
    crypto_auth_hmacsha256_update(&state, message, message_len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
}

void secret_fingerprint(uint8_t fingerprint[SECRET_FINGERPRINT_LEN], const void *sign_key,
                        size_t sign_key_len) {
    crypto_shorthash_siphashx24(fingerprint, sign_key, sign_key_len, fingerprint_key);
}

uint64_t secret_name_hash(const char *name, size_t name_len) {
    uint64_t a = name_keys[0][0] * name_len, b = name_keys[1][0] * name_len;
    size_t words = name_len / 4;
    for (size_t i = 0; i <= words; i++) {
        uint32_t word = 0;
        if (i < words)
            memcpy(&word, name + 4 * i, 4);
        else
            memcpy(&word, name + 4 * i, name_len % 4);
        a += name_keys[0][i + 1] * word;
        b += name_keys[1][i + 1] * word;
    }
    return (a >> 32 << 32) | b >> 32;
}

uint64_t secret_hash(const void *data, size_t data_len) {
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, data, data_len, hash_key);
    return hash;
}

uint8_t secret_random_byte(void) {
    static uint8_t batch[512];
    static size_t left;
    if (left == 0) {
        randombytes_buf(batch, sizeof batch);
        left = sizeof batch;
    }
    return batch[--left];
}

bool secret_equal(const void *a, const void *b, size_t len) {
    return sodium_memcmp(a, b, len) == 0;
}
