/*
 * secret.c - HMAC, keyed hashes and randomness; the only file that includes sodium.h.
 *
 * Libsodium's are the primitives: HMAC-SHA256, SipHash, randomness, comparison, wiping. Ours is how
 * an HMAC is shortened: that of a short message is four compressions of SHA-256, and two of them
 * depend on the key alone. The states after those two are kept for the sign keys seen last, as
 * libsodium's crypto_auth_hmacsha256_state, and where the processor has instructions for SHA-256
 * the other two compressions are made by them on that state (sha256.h). The vectors of RFC 4231 are
 * tested both ways.
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

#include "sha256.h"

#define SIGNERS 16

struct secret_signer {
    uint8_t fingerprint[SECRET_FINGERPRINT_LEN];
    crypto_auth_hmacsha256_state keyed;
    bool used;
};

/* A message this long and its padding fill one block: 0x80 and the length take nine bytes. */
#define ONE_BLOCK_MAX (SHA256_BLOCK_LEN - 9)

static struct secret_signer signers[SIGNERS];
static bool native;
static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static uint8_t fingerprint_key[crypto_shorthash_siphashx24_KEYBYTES];

_Static_assert(SECRET_MAC_LEN == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256 gives 32 bytes");
_Static_assert(SECRET_FINGERPRINT_LEN == crypto_shorthash_siphashx24_BYTES, "and SipHash 16");
_Static_assert(SECRET_FINGERPRINT_LEN == 2 * sizeof(uint64_t), "which is two words");

bool secret_start(void) {
    if (sodium_init() < 0) return false;
    native = sha256_is_native();
    randombytes_buf(hash_key, sizeof hash_key);
    randombytes_buf(fingerprint_key, sizeof fingerprint_key);
    return true;
}

void secret_fingerprint(uint8_t fingerprint[SECRET_FINGERPRINT_LEN], const void *key,
                        size_t key_len) {
    crypto_shorthash_siphashx24(fingerprint, key, key_len, fingerprint_key);
}

/* Whether two fingerprints are the same, without a branch on where they differ: by two words, since
 * libsodium's comparison goes byte by byte. */
static bool same_fingerprint(const uint8_t *a, const uint8_t *b) {
    uint64_t one[2], other[2];
    memcpy(one, a, sizeof one);
    memcpy(other, b, sizeof other);
    return ((one[0] ^ other[0]) | (one[1] ^ other[1])) == 0;
}

/* From its slot, or made anew there. */
const struct secret_signer *secret_signer(const void *key, size_t key_len) {
    uint8_t fingerprint[SECRET_FINGERPRINT_LEN];
    secret_fingerprint(fingerprint, key, key_len);
    struct secret_signer *signer = &signers[fingerprint[0] % SIGNERS];
    if (!signer->used || !same_fingerprint(signer->fingerprint, fingerprint)) {
        crypto_auth_hmacsha256_init(&signer->keyed, key, key_len);
        memcpy(signer->fingerprint, fingerprint, sizeof fingerprint);
        signer->used = true;
    }
    return signer;
}

/* Writes the eight words of a state as 32 bytes, big-endian. */
static void write_state(uint8_t bytes[SECRET_MAC_LEN], const uint32_t state[8]) {
    for (size_t i = 0; i < SECRET_MAC_LEN; i++)
        bytes[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* What is worked on, together: so it is wiped at once. */
struct work {
    uint32_t state[8];
    uint8_t block[SHA256_BLOCK_LEN];
    uint8_t inner[SECRET_MAC_LEN];
};

/* The rest of SHA-256 for a message of one block of the key, which is in the state, and len bytes
 * more: those, and the padding of FIPS 180-4, 5.1.1, in one more block. */
static void finish_hash(struct work *work, uint8_t digest[SECRET_MAC_LEN], const uint32_t keyed[8],
                        const uint8_t *message, size_t len) {
    memcpy(work->state, keyed, sizeof work->state);
    memset(work->block, 0, sizeof work->block);
    memcpy(work->block, message, len);
    work->block[len] = 0x80;
    size_t bits = 8 * (SHA256_BLOCK_LEN + len);
    work->block[SHA256_BLOCK_LEN - 2] = (uint8_t)(bits >> 8);
    work->block[SHA256_BLOCK_LEN - 1] = (uint8_t)bits;
    sha256_compress(work->state, work->block);
    write_state(digest, work->state);
}

/* With the processor's own SHA-256, which a START spends a quarter of its instructions on
 * otherwise. */
static void sign_natively(uint8_t mac[SECRET_MAC_LEN], const struct secret_signer *signer,
                          const uint8_t *message, size_t message_len) {
    struct work work;
    finish_hash(&work, work.inner, signer->keyed.ictx.state, message, message_len);
    finish_hash(&work, mac, signer->keyed.octx.state, work.inner, sizeof work.inner);
    sodium_memzero(&work, sizeof work);
}

void secret_sign(uint8_t mac[SECRET_MAC_LEN], const struct secret_signer *signer,
                 const void *message, size_t message_len) {
    if (native && message_len <= ONE_BLOCK_MAX) {
        sign_natively(mac, signer, message, message_len);
        return;
    }
    crypto_auth_hmacsha256_state state = signer->keyed;
    crypto_auth_hmacsha256_update(&state, message, message_len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
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

void secret_random(void *bytes, size_t len) {
    randombytes_buf(bytes, len);
}

void secret_wipe(void *bytes, size_t len) {
    sodium_memzero(bytes, len);
}

bool secret_equal(const void *a, const void *b, size_t len) {
    return sodium_memcmp(a, b, len) == 0;
}
