/*
 * memory.h - where the core's memory comes from.
 *
 * The module points these at the server's allocator, so that sessions count as the server's memory;
 * programs without a server (unit tests, fuzz targets) leave the C library's.
 */
#ifndef SESSIONGATE_MEMORY_H
#define SESSIONGATE_MEMORY_H

#include <stddef.h>

/* alloc and realloc never return NULL: like the server's, they end the process when memory is out.
 * free takes NULL. All three may be called from any thread. */
struct memory {
    void *(*alloc)(size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
};

extern struct memory memory;

/* Moves a block, for a server that defragments: returns where its contents are now, or NULL where
 * it stays. */
typedef void *(*memory_mover)(void *context, void *block);

#endif
