/*
 * pairhash.h - a hash of a sign key together with a token, to recognise a pair that was seen
 * before.
 *
 * The hash is ours: NH of J. Black et al. ("UMAC: fast and secure message authentication", CRYPTO
 * '99) with words of 64 bits, once for each of the two, and the sum. It is universal, not
 * cryptographic: over this process's random keys, two different pairs have the same hash with a
 * chance of at most 2^-64 (the proof is in pairhash.c), and that holds only as long as nobody is
 * shown a hash. It is four times as fast as SipHash.
 */
#ifndef SESSIONGATE_PAIRHASH_H
#define SESSIONGATE_PAIRHASH_H

#include <stddef.h>
#include <stdint.h>

#define PAIRHASH_NAME_MAX 128 /* bytes of a name; a sign key may have any length */

/* Writes the hash of sign_key and name. Draws its keys the first time: secret_start comes before.
 */
void pairhash(uint64_t hash[2], const void *sign_key, size_t sign_key_len, const char *name,
              size_t name_len);

#endif
