/*
 * secret.h - the few primitives that SessionGate needs, from libsodium.
 *
 * Call secret_start once before anything else. The functions below are for one thread.
 */
#ifndef SESSIONGATE_SECRET_H
#define SESSIONGATE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_MAC_LEN 32

/* Prepares libsodium and draws this process's hash keys. False: libsodium could not start. */
bool secret_start(void);

/* A key made ready to sign with: what a key costs by its length, it costs here. It belongs to
 * secret.c, and is good until the next call of secret_signer. */
struct secret_signer;
const struct secret_signer *secret_signer(const void *key, size_t key_len);

/* HMAC-SHA256 (RFC 2104, FIPS 180-4) of message under the signer's key; both of any length and any
 * bytes. */
void secret_sign(uint8_t mac[SECRET_MAC_LEN], const struct secret_signer *signer,
                 const void *message, size_t message_len);

/* A 128-bit fingerprint (SipHash-2-4-128) of a sign key, under a key of this process. */
#define SECRET_FINGERPRINT_LEN 16
void secret_fingerprint(uint8_t fingerprint[SECRET_FINGERPRINT_LEN], const void *key,
                        size_t key_len);

/* A 64-bit hash (SipHash-2-4) under a key of this process: for tables whose keys a client chooses.
 */
uint64_t secret_hash(const void *data, size_t data_len);

/* One byte from the system's cryptographic generator, drawn in batches. */
uint8_t secret_random_byte(void);

/* Bytes from the system's cryptographic generator. */
void secret_random(void *bytes, size_t len);

/* Overwrites what held a secret, in a way that no compiler leaves out. */
void secret_wipe(void *bytes, size_t len);

/* Whether a and b hold the same len bytes, in a time that does not depend on where they differ. */
bool secret_equal(const void *a, const void *b, size_t len);

#endif
