/*
 * table.h - many payloads, or large ones: a hash table with chains.
 *
 *     table                    node                          node
 *     +--------+               +------+---------------+     +------+--
 *     | chains +--> pointers ->| next | entry         |  .->| next | ...       entries, see entry.h
 *     | lives  +-.             +-|----+---------------+  |  +------+--
 *     +--------+ |               '-----------------------'
 *                '-> a heap of those with a life of their own, see lives.h
 *
 * It grows and shrinks by at most two buckets a change (W. Litwin, "Linear hashing", VLDB 1980), so
 * that no single call pays for moving all payloads. A table has a payload, or it is none: NULL.
 *
 * The functions that may free the table, or make one, take where its address is kept.
 */
#ifndef SESSIONGATE_TABLE_H
#define SESSIONGATE_TABLE_H

#include "lives.h"

struct table {
    uint32_t payloads;
    uint32_t buckets;
    size_t payload_bytes; /* of names and data */
    size_t entry_bytes;   /* and of what stands before them */
    struct pointers chains;
    struct lives *lives; /* NULL: all last as long as their session */
};

/* Finds the payload of that name; false when there is none. */
__attribute__((warn_unused_result)) bool table_find(const struct table *table, const void *name,
                                                    size_t name_len, struct payload *payload);

/* Sets a payload, in a new table where there is none. True when its name is new. */
bool table_put(struct table **table, const struct payload *payload);

/* Deletes the payload of that name; false when there is none. */
bool table_delete(struct table **table, const void *name, size_t name_len);

/* Frees the table with its payloads. */
void table_free(struct table *table);

/* The next entry of a walk, or NULL when it is over: begin with place 0 and node NULL. */
const uint8_t *table_next(const struct table *table, size_t *place, const struct node **node);

/* Bytes of memory the table takes, as asked from the allocator. */
size_t table_memory(const struct table *table);

/* Moves the table's own blocks, and returns where it is now; moves the nodes of a bucket, 0 ..
 * buckets - 1. */
struct table *table_move_self(struct table *table, memory_mover move, void *context);
void table_move_bucket(struct table *table, uint32_t bucket, memory_mover move, void *context);

#endif
