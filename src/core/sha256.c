/*
 * sha256.c - sha256.h for x86-64 with SHA extensions.
 *
 * The instructions want the eight words of the state as two vectors, {A,B,E,F} and {C,D,G,H}, and
 * do two rounds each; four words of the message schedule are computed at a time. The time depends
 * on nothing but the number of blocks. (Intel, "Intel SHA Extensions", 2013.)
 */
#include "sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

/* FIPS 180-4, 4.2.2. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool sha256_is_native(void) {
    unsigned eax, ebx, ecx, edx;
    bool sse41 = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_SSE4_1) && (ecx & bit_SSSE3);
    return sse41 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_SHA);
}

__attribute__((target("sha,sse4.1"))) void sha256_compress(uint32_t state[8],
                                                           const uint8_t block[SHA256_BLOCK_LEN]) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i *words = (__m128i *)state;
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
    const __m128i abef_before = abef, cdgh_before = cdgh;

    __m128i w[4]; /* the schedule's words 4i to 4i + 15, from w[i % 4] on */
    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + i), big_endian);
    for (int i = 0; i < 16; i++) {
        __m128i now = w[i % 4], next = w[(i + 1) % 4], last = w[(i + 3) % 4];
        __m128i constants = _mm_loadu_si128((const __m128i *)round_constants + i);
        __m128i sum = _mm_add_epi32(now, constants);
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
        if (i < 12) {
            __m128i nine_before = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
            __m128i part = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), nine_before);
            w[i % 4] = _mm_sha256msg2_epu32(part, last);
        }
    }

    abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1B);
    cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xB1);
    _mm_storeu_si128(words, _mm_blend_epi16(abef, cdgh, 0xF0));
    _mm_storeu_si128(words + 1, _mm_alignr_epi8(cdgh, abef, 8));
}

#else

bool sha256_is_native(void) {
    return false;
}

void sha256_compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK_LEN]) {
    (void)state;
    (void)block;
}

#endif
