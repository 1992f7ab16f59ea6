/*
 * masters.c - what START's search for a token of its own node costs, by the number of masters, with
 * a fake answer about who owns a slot: this node has the first 16384 / masters of them.
 *
 * As in src/starts.c, a v1 token that falls elsewhere is drawn and signed again; a v2 token gets
 * another slot by its pad. Prints a line "<masters> <format> <ns a token> <tries a token>" for each
 * number of masters on the command line. What the server takes to answer each try is not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "secret.h"
#include "slot.h"
#include "token.h"

static const char sign_key[] = "0123456789abcdef0123456789abcdef";

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Makes a token of one of the first `slots` slots; returns how many were tried. */
static unsigned search(enum token_format format, unsigned slots) {
    char token[TOKEN_MAX_LEN];
    unsigned tries = 1;
    const struct secret_signer *signer = secret_signer(sign_key, sizeof sign_key - 1);
    token_mint(token, format, signer);
    for (; slot_of(token, token_len(format)) >= slots; tries++) {
        if (format == TOKEN_V2) {
            unsigned bits = secret_random_byte() | (unsigned)secret_random_byte() << 8;
            token_steer(token, (uint16_t)(bits % SLOT_COUNT));
        } else {
            token_mint(token, format, signer);
        }
    }
    return tries;
}

int main(int argc, char **argv) {
    if (argc < 2 || !secret_start()) {
        fprintf(stderr, "masters: give numbers of masters, such as 1 3 10 100 1000\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        unsigned masters = (unsigned)atoi(argv[i]);
        if (masters < 1 || masters > SLOT_COUNT) return 2;
        for (int format = TOKEN_V1; format <= TOKEN_V2; format++) {
            unsigned tokens = 0;
            unsigned long long tries = 0;
            double began = now(), took;
            do {
                for (int many = 0; many < 100; many++, tokens++)
                    tries += search((enum token_format)format, SLOT_COUNT / masters);
                took = now() - began;
            } while (took < 3e8);
            printf("%u v%d %.1f %.2f\n", masters, format + 1, took / tokens,
                   (double)tries / tokens);
        }
    }
    return 0;
}
