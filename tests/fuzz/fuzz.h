/*
 * fuzz.h - what each fuzz target is: one function, called with one input after another. libFuzzer
 * makes the inputs up; replay.c reads them from files.
 */
#ifndef SESSIONGATE_FUZZ_H
#define SESSIONGATE_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0; ends the process when what must hold does not. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len);

static inline void require(bool holds, const char *sentence) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", sentence);
    abort();
}

#endif
