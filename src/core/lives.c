/*
 * lives.c - the heap of lives.h: the life at place n ends no later than those at 2n + 1 and 2n + 2.
 */
#include "lives.h"

static struct life *life_at(const struct lives *lives, size_t place) {
    return segments_at(&lives->heap, (uint32_t)place, sizeof(struct life));
}

static void put_at(struct lives *lives, size_t place, struct life life) {
    *life_at(lives, place) = life;
    mortal_of(life.node)->place = place;
}

static bool ends_before(const struct life *a, const struct life *b) {
    if (a->ends_at != b->ends_at) return a->ends_at < b->ends_at;
    struct payload one = entry_payload(a->node->entry), other = entry_payload(b->node->entry);
    return payload_ends_before(&one, &other);
}

/* Puts a life where it belongs: at a place that is free, or above it. */
static void sift_up(struct lives *lives, size_t place, struct life life) {
    while (place > 0) {
        const struct life *above = life_at(lives, (place - 1) / 2);
        if (!ends_before(&life, above)) break;
        put_at(lives, place, *above);
        place = (place - 1) / 2;
    }
    put_at(lives, place, life);
}

/* The same, or below it. */
static void sift_down(struct lives *lives, size_t place, struct life life) {
    for (size_t below; (below = 2 * place + 1) < lives->len; place = below) {
        if (below + 1 < lives->len && ends_before(life_at(lives, below + 1), life_at(lives, below)))
            below++;
        if (!ends_before(life_at(lives, below), &life)) break;
        put_at(lives, place, *life_at(lives, below));
    }
    put_at(lives, place, life);
}

void lives_add(struct lives *lives, struct node *node) {
    segments_grow(&lives->heap, lives->len, sizeof(struct life));
    sift_up(lives, lives->len++, (struct life){entry_ends_at(node->entry), node});
}

void lives_remove(struct lives *lives, struct node *node) {
    size_t place = mortal_of(node)->place;
    struct life last = *life_at(lives, --lives->len);
    if (last.node != node) {
        if (place > 0 && ends_before(&last, life_at(lives, (place - 1) / 2)))
            sift_up(lives, place, last);
        else
            sift_down(lives, place, last);
    }
    segments_shrink(&lives->heap, lives->len, sizeof(struct life));
}

void lives_moved(struct lives *lives, struct node *node) {
    life_at(lives, mortal_of(node)->place)->node = node;
}

/* Counts the lives from a place downwards that are over. */
static void count_over(const struct lives *lives, size_t place, int64_t now_ms, uint32_t at_most,
                       struct over *over) {
    if (place >= lives->len || over->payloads == at_most) return;
    const struct life *life = life_at(lives, place);
    if (life->ends_at > now_ms) return;
    struct payload payload = entry_payload(life->node->entry);
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
