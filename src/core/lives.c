/*
 * lives.c - the heap of lives.h: the node of place n ends no later than those of 2n + 1 and 2n + 2.
 */
#include "lives.h"

static struct node *node_at(const struct lives *lives, size_t place) {
    return *pointers_at(&lives->nodes, (uint32_t)place);
}

static void put_at(struct lives *lives, size_t place, struct node *node) {
    *pointers_at(&lives->nodes, (uint32_t)place) = node;
    mortal_of(node)->place = place;
}

static bool ends_before(const struct node *a, const struct node *b) {
    struct payload one = entry_payload(a->entry), other = entry_payload(b->entry);
    return payload_ends_before(&one, &other);
}

/* Puts a node where it belongs: at a place that is free, or above it. */
static void sift_up(struct lives *lives, size_t place, struct node *node) {
    while (place > 0) {
        struct node *above = node_at(lives, (place - 1) / 2);
        if (!ends_before(node, above)) break;
        put_at(lives, place, above);
        place = (place - 1) / 2;
    }
    put_at(lives, place, node);
}

/* The same, or below it. */
static void sift_down(struct lives *lives, size_t place, struct node *node) {
    for (size_t below; (below = 2 * place + 1) < lives->len; place = below) {
        if (below + 1 < lives->len && ends_before(node_at(lives, below + 1), node_at(lives, below)))
            below++;
        if (!ends_before(node_at(lives, below), node)) break;
        put_at(lives, place, node_at(lives, below));
    }
    put_at(lives, place, node);
}

void lives_add(struct lives *lives, struct node *node) {
    pointers_grow(&lives->nodes, lives->len);
    sift_up(lives, lives->len++, node);
}

void lives_remove(struct lives *lives, struct node *node) {
    size_t place = mortal_of(node)->place;
    struct node *last = node_at(lives, --lives->len);
    if (last != node) {
        if (place > 0 && ends_before(last, node_at(lives, (place - 1) / 2)))
            sift_up(lives, place, last);
        else
            sift_down(lives, place, last);
    }
    pointers_shrink(&lives->nodes, lives->len);
}

void lives_moved(struct lives *lives, struct node *node) {
    put_at(lives, mortal_of(node)->place, node);
}

/* Counts the nodes from a place downwards that are over. */
static void count_over(const struct lives *lives, size_t place, int64_t now_ms, uint32_t at_most,
                       struct over *over) {
    if (place >= lives->len || over->payloads == at_most) return;
    struct payload payload = entry_payload(node_at(lives, place)->entry);
    if (!payload_is_over(&payload, now_ms)) return;
    over->payloads++;
    over->bytes += payload.name_len + payload.data_len;
    count_over(lives, 2 * place + 1, now_ms, at_most, over);
    count_over(lives, 2 * place + 2, now_ms, at_most, over);
}

struct over lives_over(const struct lives *lives, int64_t now_ms, uint32_t at_most) {
    struct over over = {0};
    count_over(lives, 0, now_ms, at_most, &over);
    return over;
}
