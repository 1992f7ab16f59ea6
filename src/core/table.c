/*
 * table.c - the table of table.h.
 *
 * What must stay true of it:
 *   - with n buckets and m the smallest power of two >= n, a payload's bucket is hash mod m, or
 * hash mod m/2 when that is not below n; there is room for m chains;
 *   - names are hashed under a key of this process: clients cannot choose names that collide.
 */
#include "table.h"

#include "secret.h"

static uint32_t power_of_two_from(uint32_t n) {
    return n <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(n - 1));
}

static size_t table_size(uint32_t room) {
    return sizeof(struct table) + room * sizeof(struct node *);
}

static uint32_t bucket_of(const struct table *table, const void *name, size_t name_len) {
    if (table->buckets == 1) return 0;
    uint32_t hash = (uint32_t)secret_hash(name, name_len);
    uint32_t m = power_of_two_from(table->buckets);
    uint32_t bucket = hash & (m - 1);
    return bucket < table->buckets ? bucket : bucket & (m / 2 - 1);
}

/* Where the payload of that name is linked, or where it would be: at the end of its chain. */
static struct node **find_link(struct table *table, const void *name, size_t name_len) {
    struct node **link = &table->chains[bucket_of(table, name, name_len)];
    for (; *link; link = &(*link)->next) {
        struct payload payload = entry_payload((*link)->entry);
        if (payload_is_named(&payload, name, name_len)) break;
    }
    return link;
}

/* Adds a bucket: the payloads of the one it splits off from that now belong there move over. With
 * three buckets, say, m is 4: a name of hash 5 is in bucket 5 mod 4 = 1, one of hash 7 would be in
 * 3, which is not there yet, and so is in 7 mod 2 = 1. The fourth bucket, 3, splits off from 3 - 4
 * / 2 = 1: hash 7 moves over, hash 5 stays, and nothing else has to be looked at. */
static void split_bucket(struct table **place) {
    struct table *table = *place;
    uint32_t added = table->buckets;
    if (added == power_of_two_from(added))
        *place = table = memory.realloc(table, table_size(2 * added));
    table->chains[added] = NULL;
    table->buckets++;

    struct node **from = &table->chains[added - power_of_two_from(added + 1) / 2];
    struct node **to = &table->chains[added];
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
static void merge_bucket(struct table **place) {
    struct table *table = *place;
    uint32_t removed = table->buckets - 1;
    struct node **end = &table->chains[removed - power_of_two_from(removed + 1) / 2];
    while (*end) end = &(*end)->next;
    *end = table->chains[removed];
    table->buckets--;
    if (table->buckets == power_of_two_from(table->buckets))
        *place = memory.realloc(table, table_size(table->buckets));
}

bool table_find(struct table *table, const void *name, size_t name_len, struct payload *payload) {
    const struct node *node = *find_link(table, name, name_len);
    if (node) *payload = entry_payload(node->entry);
    return node != NULL;
}

static struct table *create_table(void) {
    struct table *table = memory.alloc(table_size(1));
    *table = (struct table){.buckets = 1};
    table->chains[0] = NULL;
    return table;
}

bool table_put(struct table **place, const struct payload *payload) {
    if (!*place) *place = create_table();
    struct table *table = *place;
    struct node **link = find_link(table, payload->name, payload->name_len), *node = *link;
    size_t size = entry_size(payload->name_len, payload->data_len);
    bool is_new = !node;
    if (is_new) {
        node = memory.alloc(sizeof *node + size);
        node->next = NULL;
        table->payloads++;
    } else {
        struct payload old = entry_payload(node->entry);
        size_t old_size = entry_size_with(node->entry, &old);
        table->payload_bytes -= old.name_len + old.data_len;
        table->entry_bytes -= old_size;
        if (size != old_size) node = memory.realloc(node, sizeof *node + size);
    }
    entry_write(node->entry, payload);
    table->payload_bytes += payload->name_len + payload->data_len;
    table->entry_bytes += size;
    *link = node;

    for (int i = 0; i < 2 && (*place)->buckets < (*place)->payloads; i++) split_bucket(place);
    return is_new;
}

bool table_delete(struct table **place, const void *name, size_t name_len) {
    struct table *table = *place;
    struct node **link = find_link(table, name, name_len), *node = *link;
    if (!node) return false;
    struct payload payload = entry_payload(node->entry);
    *link = node->next;
    table->payloads--;
    table->payload_bytes -= payload.name_len + payload.data_len;
    table->entry_bytes -= entry_size_with(node->entry, &payload);
    memory.free(node);

    if (table->payloads == 0) {
        memory.free(table);
        *place = NULL;
        return true;
    }
    for (int i = 0; i < 2 && (*place)->buckets / 2 > (*place)->payloads; i++) merge_bucket(place);
    return true;
}

void table_free(struct table *table) {
    for (uint32_t bucket = 0; bucket < table->buckets; bucket++) {
        struct node *node = table->chains[bucket];
        while (node) {
            struct node *next = node->next;
            memory.free(node);
            node = next;
        }
    }
    memory.free(table);
}

const uint8_t *table_next(const struct table *table, size_t *place, const struct node **node) {
    const struct node *next = *node ? (*node)->next : NULL;
    while (!next && *place < table->buckets) next = table->chains[(*place)++];
    *node = next;
    return next ? next->entry : NULL;
}

size_t table_memory(const struct table *table) {
    return table_size(power_of_two_from(table->buckets)) + table->payloads * sizeof(struct node) +
           table->entry_bytes;
}

void table_move_bucket(struct table *table, uint32_t bucket, memory_mover move, void *context) {
    struct node **link = &table->chains[bucket];
    while (*link) {
        struct node *moved = move(context, *link);
        if (moved) *link = moved;
        link = &(*link)->next;
    }
}
