/*
 * table.c - the table of table.h.
 *
 * What must stay true of it:
 *   - with n buckets and m the smallest power of two >= n, a payload's bucket is hash mod m, or
 * hash mod m/2 when that is not below n;
 *   - names are hashed under a key of this process: clients cannot choose names that collide;
 *   - exactly the nodes whose entry has a life are in the heap, and lie within a mortal.
 */
#include "table.h"

#include "secret.h"

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static struct node **chain_at(const struct table *table, uint32_t bucket) {
    return (struct node **)pointers_at(&table->chains, bucket);
}

static uint32_t bucket_of(const struct table *table, const void *name, size_t name_len) {
    if (table->buckets == 1) return 0;
    uint32_t hash = (uint32_t)secret_hash(name, name_len);
    uint32_t m = power_of_two_from(table->buckets);
    uint32_t bucket = hash & (m - 1);
    return bucket < table->buckets ? bucket : bucket & (m / 2 - 1);
}

/* Where the payload of that name is linked, or where it would be: at the end of its chain. */
static struct node **find_link(const struct table *table, const void *name, size_t name_len) {
    struct node **link = chain_at(table, bucket_of(table, name, name_len));
    for (; *link; link = &(*link)->next) {
        struct payload payload = entry_payload((*link)->entry);
        if (payload_is_named(&payload, name, name_len)) break;
    }
    return link;
}

/* Adds a bucket without payloads. */
static void add_bucket(struct table *table) {
    pointers_grow(&table->chains, table->buckets);
    *chain_at(table, table->buckets++) = NULL;
}

/* Adds a bucket: the payloads of the one it splits off from that now belong there move over. With
 * three buckets, say, m is 4: a name of hash 5 is in bucket 5 mod 4 = 1, one of hash 7 would be in
 * 3, which is not there yet, and so is in 7 mod 2 = 1. The fourth bucket, 3, splits off from 3 - 4
 * / 2 = 1: hash 7 moves over, hash 5 stays, and nothing else has to be looked at. */
static void split_bucket(struct table *table) {
    uint32_t added = table->buckets;
    add_bucket(table);
    struct node **from = chain_at(table, added - power_of_two_from(added + 1) / 2);
    struct node **to = chain_at(table, added);
    while (*from) {
        struct node *node = *from;
        struct payload payload = entry_payload(node->entry);
        if (bucket_of(table, payload.name, payload.name_len) == added) {
            *from = node->next;
            node->next = NULL;
            *to = node;
            to = &node->next;
        } else {
            from = &node->next;
        }
    }
}

/* Takes the last bucket away: its payloads go back to the one that it was split off from. */
static void merge_bucket(struct table *table) {
    uint32_t removed = table->buckets - 1;
    struct node **end = chain_at(table, removed - power_of_two_from(removed + 1) / 2);
    while (*end) end = &(*end)->next;
    *end = *chain_at(table, removed);
    table->buckets--;
    pointers_shrink(&table->chains, table->buckets);
}

bool table_find(const struct table *table, const void *name, size_t name_len,
                struct payload *payload) {
    const struct node *node = *find_link(table, name, name_len);
    if (node) *payload = entry_payload(node->entry);
    return node != NULL;
}

static struct table *create_table(void) {
    struct table *table = memory.alloc(sizeof *table);
    *table = (struct table){0};
    add_bucket(table);
    return table;
}

/*
 * A node's block: one with a life begins before the node.
 */

static bool is_mortal(const struct node *node) {
    return entry_ends_at(node->entry) != 0;
}

static void *block_of(struct node *node) {
    return is_mortal(node) ? (void *)mortal_of(node) : node;
}

static struct node *alloc_node(const struct payload *payload) {
    size_t size = entry_size(payload);
    if (!payload->ends_at) return memory.alloc(sizeof(struct node) + size);
    struct mortal *mortal = memory.alloc(sizeof *mortal + size);
    return &mortal->node;
}

/* Counts the payload of a node in, and out. */
static void count_in(struct table *table, const struct node *node) {
    struct payload payload = entry_payload(node->entry);
    table->payloads++;
    table->payload_bytes += payload.name_len + payload.data_len;
    table->entry_bytes += entry_size_with(node->entry, &payload);
}

static void count_out(struct table *table, const struct node *node) {
    struct payload payload = entry_payload(node->entry);
    table->payloads--;
    table->payload_bytes -= payload.name_len + payload.data_len;
    table->entry_bytes -= entry_size_with(node->entry, &payload);
}

/* A new node of a payload, counted, and in the heap if it has a life; no chain has it yet. */
static struct node *make_node(struct table *table, const struct payload *payload) {
    struct node *node = alloc_node(payload);
    entry_write(node->entry, payload);
    count_in(table, node);
    if (payload->ends_at) {
        if (!table->lives) {
            table->lives = memory.alloc(sizeof *table->lives);
            *table->lives = (struct lives){0};
        }
        lives_add(table->lives, node);
    }
    return node;
}

/* The reverse. */
static void free_node(struct table *table, struct node *node) {
    count_out(table, node);
    if (is_mortal(node)) {
        lives_remove(table->lives, node);
        if (table->lives->len == 0) {
            memory.free(table->lives);
            table->lives = NULL;
        }
    }
    memory.free(block_of(node));
}

/* Where the node of a payload is when that is set anew. Without lives it keeps its block, where
 * that is of the right size. */
static struct node *replace_node(struct table *table, struct node *old,
                                 const struct payload *payload) {
    struct node *node = old;
    if (is_mortal(old) || payload->ends_at) {
        node = make_node(table, payload);
        node->next = old->next;
        free_node(table, old);
        return node;
    }
    size_t size = entry_size(payload);
    count_out(table, old);
    if (size != entry_size_at(old->entry)) node = memory.realloc(old, sizeof *node + size);
    entry_write(node->entry, payload);
    count_in(table, node);
    return node;
}

bool table_put(struct table **place, const struct payload *payload) {
    if (!*place) *place = create_table();
    struct table *table = *place;
    struct node **link = find_link(table, payload->name, payload->name_len);
    bool is_new = !*link;
    if (is_new) {
        *link = make_node(table, payload);
        (*link)->next = NULL;
    } else {
        *link = replace_node(table, *link, payload);
    }
    for (int i = 0; i < 2 && table->buckets < table->payloads; i++) split_bucket(table);
    return is_new;
}

bool table_delete(struct table **place, const void *name, size_t name_len) {
    struct table *table = *place;
    struct node **link = find_link(table, name, name_len), *node = *link;
    if (!node) return false;
    *link = node->next;
    free_node(table, node);
    if (table->payloads == 0) {
        table_free(table);
        *place = NULL;
        return true;
    }
    for (int i = 0; i < 2 && table->buckets / 2 > table->payloads; i++) merge_bucket(table);
    return true;
}

void table_free(struct table *table) {
    for (uint32_t bucket = 0; bucket < table->buckets; bucket++) {
        struct node *node = *chain_at(table, bucket);
        while (node) {
            struct node *next = node->next;
            memory.free(block_of(node));
            node = next;
        }
    }
    pointers_free(&table->chains, table->buckets);
    if (table->lives) pointers_free(&table->lives->nodes, table->lives->len);
    memory.free(table->lives);
    memory.free(table);
}

const uint8_t *table_next(const struct table *table, size_t *place, const struct node **node) {
    const struct node *next = *node ? (*node)->next : NULL;
    while (!next && *place < table->buckets) next = *chain_at(table, (uint32_t)(*place)++);
    *node = next;
    return next ? next->entry : NULL;
}

size_t table_memory(const struct table *table) {
    size_t size = sizeof *table + pointers_memory(table->buckets) +
                  table->payloads * sizeof(struct node) + table->entry_bytes;
    if (table->lives)
        size += sizeof *table->lives + pointers_memory(table->lives->len) +
                table->lives->len * (sizeof(struct mortal) - sizeof(struct node));
    return size;
}

struct table *table_move_self(struct table *table, memory_mover move, void *context) {
    struct table *moved = move(context, table);
    if (moved) table = moved;
    pointers_move(&table->chains, table->buckets, move, context);
    if (!table->lives) return table;
    struct lives *lives = move(context, table->lives);
    if (lives) table->lives = lives;
    pointers_move(&table->lives->nodes, table->lives->len, move, context);
    return table;
}

/* Where a node is now; the heap knows. */
static struct node *move_node(struct table *table, struct node *node, memory_mover move,
                              void *context) {
    if (!is_mortal(node)) {
        struct node *moved = move(context, node);
        return moved ? moved : node;
    }
    struct mortal *moved = move(context, mortal_of(node));
    if (!moved) return node;
    lives_moved(table->lives, &moved->node);
    return &moved->node;
}

void table_move_bucket(struct table *table, uint32_t bucket, memory_mover move, void *context) {
    struct node **link = chain_at(table, bucket);
    for (; *link; link = &(*link)->next) *link = move_node(table, *link, move, context);
}
