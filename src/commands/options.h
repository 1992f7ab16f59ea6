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
};

/* What they said; zeros where they were not given. */
struct options {
    unsigned given;                /* a set of enum option */
    long long max_ttl, ttl, grace; /* seconds */
    long long limit;               /* sessions */
    struct bytes new_key;
    enum token_format format;
    RedisModuleString **payloads; /* names and data by turns */
    int payloads_len;
};

/* Takes all of argv, argc strings, as options out of the set `known`, and checks their values; the
 * error otherwise. */
bool options_check(struct call *call, RedisModuleString **argv, int argc, unsigned known,
                   struct options *options);

#endif
