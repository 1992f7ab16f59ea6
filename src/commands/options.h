/*
 * options.h - the options behind a command's arguments: words in any order and any case, each once.
 */
#ifndef SESSIONGATE_OPTIONS_H
#define SESSIONGATE_OPTIONS_H

#include "call.h"

/* Which options a command has, and which were given: a set of these. */
enum option {
    OPTION_MAXTTL = 1 << 0,
    OPTION_TTL = 1 << 1,
    OPTION_GRACE = 1 << 2,
    OPTION_NEWKEY = 1 << 3,
    OPTION_FORMAT = 1 << 4,
    OPTION_PAYLOADS = 1 << 5,
    OPTION_LIMIT = 1 << 6,
    OPTION_NX = 1 << 7,
    OPTION_XX = 1 << 8,
    OPTION_IFEQ = 1 << 9,
    OPTION_EX = 1 << 10,
    OPTION_PX = 1 << 11,
};

/* Of these one at most. */
#define OPTIONS_OF_CONDITION (OPTION_NX | OPTION_XX | OPTION_IFEQ)
#define OPTIONS_OF_LIFE (OPTION_EX | OPTION_PX)

/* What they said; zeros where they were not given. */
struct options {
    unsigned given;                /* a set of enum option */
    long long max_ttl, ttl, grace; /* seconds */
    long long limit;               /* sessions */
    struct bytes new_key;
    struct bytes if_equal; /* data */
    long long life_ms;     /* of EX or PX */
    enum token_format format;
    RedisModuleString **payloads; /* names and data by turns */
    int payloads_len;
};

/* Takes all of argv, argc strings, as options out of the set `known`, and checks their values; the
 * error otherwise. Most calls have none. */
bool options_read(struct call *call, RedisModuleString **argv, int argc, unsigned known,
                  struct options *options);

static inline bool options_check(struct call *call, RedisModuleString **argv, int argc,
                                 unsigned known, struct options *options) {
    *options = (struct options){0};
    return argc == 0 || options_read(call, argv, argc, known, options);
}

#endif
