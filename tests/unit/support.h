/*
 * support.h - what the unit tests share: randomness that can be repeated, bytes against a page that
 * cannot be read, and a measure of uniformity.
 */
#ifndef SESSIONGATE_TEST_SUPPORT_H
#define SESSIONGATE_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A stream of numbers that its start alone decides (S. Vigna, "splitmix64", 2015). */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random) {
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number below bound, nearly uniform. */
static inline uint32_t random_below(struct random *random, uint32_t bound) {
    return (uint32_t)(random_next(random) % bound);
}

/* A stream from the environment's SEED, or from the clock; the seed is printed. The hash keys of
 * the core are drawn anew in each process, so the order of payloads in a table is not repeated. */
static inline struct random random_seeded(void) {
    const char *given = getenv("SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given ? strtoull(given, NULL, 10)
                          : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    print_message("           SEED=%llu repeats this run\n", (unsigned long long)seed);
    return (struct random){seed};
}

/* Readable pages between two that are not: a read before start or from end on is a crash. */
struct fence {
    uint8_t *start;
    uint8_t *end;
};

static inline struct fence fence_create(size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inside = (len + page - 1) / page * page;
    int zeros = open("/dev/zero", O_RDWR);
    uint8_t *map = mmap(NULL, inside + 2 * page, PROT_NONE, MAP_PRIVATE, zeros, 0);
    if (zeros < 0 || map == MAP_FAILED || mprotect(map + page, inside, PROT_READ | PROT_WRITE) != 0)
        fail_msg("no memory for pages between unreadable ones");
    close(zeros);
    return (struct fence){map + page, map + page + inside};
}

static inline void fence_free(struct fence fence) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(fence.start - page, (size_t)(fence.end - fence.start) + 2 * page);
}

/* A copy of len bytes whose last one is the last that can be read. */
static inline void *fence_before_end(struct fence fence, const void *bytes, size_t len) {
    return memcpy(fence.end - len, bytes, len);
}

/* A copy of len bytes whose first one is the first that can be read. */
static inline void *fence_after_start(struct fence fence, const void *bytes, size_t len) {
    return memcpy(fence.start, bytes, len);
}

/* Pearson's chi-square of counts against kinds that are all equally likely. */
static inline double chi_square(const size_t *counts, size_t kinds) {
    size_t total = 0;
    for (size_t i = 0; i < kinds; i++) total += counts[i];
    double expected = (double)total / (double)kinds, sum = 0;
    for (size_t i = 0; i < kinds; i++) {
        double difference = (double)counts[i] - expected;
        sum += difference * difference / expected;
    }
    return sum;
}

static inline int compare_16_bytes(const void *a, const void *b) {
    return memcmp(a, b, 16);
}

/* Rows of 16 bytes, which it sorts. */
static inline void assert_all_differ(void *all, size_t count) {
    uint8_t(*rows)[16] = all;
    qsort(rows, count, sizeof *rows, compare_16_bytes);
    for (size_t i = 1; i < count; i++) assert_memory_not_equal(rows[i - 1], rows[i], sizeof *rows);
}

#endif
