/*
 * lives.h - which payloads of a table end first: a binary heap (J. Williams, "Algorithm 232:
 * Heapsort", CACM 1964) of those that have a life of their own.
 *
 * They come in the order of payload_ends_before (entry.h), in which no two are equal. So the first
 * n are the same payloads on every server, however the heap came to be.
 */
#ifndef SESSIONGATE_LIVES_H
#define SESSIONGATE_LIVES_H

#include "entry.h"
#include "pointers.h"

/* A payload of a table. */
struct node {
    struct node *next;
    uint8_t entry[];
};

/* One with a life: it knows its place in the heap. */
struct mortal {
    size_t place;
    struct node node;
};

static inline struct mortal *mortal_of(struct node *node) {
    return (struct mortal *)((char *)node - offsetof(struct mortal, node));
}

struct lives {
    uint32_t len;
    struct pointers nodes;
};

/* Adds a node that has a life, and its place with it; takes one out; says that one has moved. */
void lives_add(struct lives *lives, struct node *node);
void lives_remove(struct lives *lives, struct node *node);
void lives_moved(struct lives *lives, struct node *node);

/* The one that ends first, where there is one. */
static inline struct node *lives_first(const struct lives *lives) {
    return *pointers_at(&lives->nodes, 0);
}

/* How many payloads are over at an instant, counted up to a number, and the bytes of their names
 * and data. */
struct over {
    uint32_t payloads;
    size_t bytes;
};
struct over lives_over(const struct lives *lives, int64_t now_ms, uint32_t at_most);

#endif
