/*
 * memory.c - the C library's allocator under the contract of memory.h.
 */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

static void *or_abort(void *block) {
    if (!block) {
        fputs("sessiongate: out of memory\n", stderr);
        abort();
    }
    return block;
}

static void *libc_alloc(size_t size) {
    return or_abort(malloc(size));
}

static void *libc_realloc(void *block, size_t size) {
    return or_abort(realloc(block, size));
}

struct memory memory = {libc_alloc, libc_realloc, free};
