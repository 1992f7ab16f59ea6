/*
 * options.c - the one parser of options.h.
 */
#include "options.h"

#include "config.h"

/* Arguments that were not taken yet. */
struct rest {
    RedisModuleString **argv;
    int argc;
};

static RedisModuleString *next_argument(struct rest *rest) {
    if (rest->argc == 0) return NULL;
    rest->argc--;
    return *rest->argv++;
}

static bool read_whole_number(struct call *call, struct rest *rest, long long min, long long max,
                              enum error error, long long *value) {
    RedisModuleString *arg = next_argument(rest);
    if (!arg) return call_error(call, ERROR_SYNTAX);
    return call_check_number(call, arg, min, max, error, value);
}

static bool read_max_ttl(struct call *call, struct rest *rest, struct options *options) {
    return read_whole_number(call, rest, 1, config.max_ttl, ERROR_MAX_TTL, &options->max_ttl);
}

static bool read_ttl(struct call *call, struct rest *rest, struct options *options) {
    return read_whole_number(call, rest, 1, config.max_ttl, ERROR_NEW_TTL, &options->ttl);
}

static bool read_grace(struct call *call, struct rest *rest, struct options *options) {
    return read_whole_number(call, rest, 0, CALL_GRACE_MAX, ERROR_GRACE, &options->grace);
}

static bool read_limit(struct call *call, struct rest *rest, struct options *options) {
    return read_whole_number(call, rest, 1, CONFIG_OWNER_SESSIONS_MAX, ERROR_OWNER_LIMIT,
                             &options->limit);
}

static bool read_new_key(struct call *call, struct rest *rest, struct options *options) {
    RedisModuleString *arg = next_argument(rest);
    if (!arg) return call_error(call, ERROR_SYNTAX);
    return call_check_sign_key(call, arg, ERROR_NEW_SIGN_KEY, &options->new_key);
}

static bool read_format(struct call *call, struct rest *rest, struct options *options) {
    RedisModuleString *arg = next_argument(rest);
    if (!arg) return call_error(call, ERROR_SYNTAX);
    options->format = call_is_option(arg, "v2") ? TOKEN_V2 : TOKEN_V1;
    return options->format == TOKEN_V2 || call_is_option(arg, "v1") ||
           call_error(call, ERROR_SYNTAX);
}

static bool read_payloads(struct call *call, struct rest *rest, struct options *options) {
    RedisModuleString *arg = next_argument(rest);
    long long count;
    if (!arg || RedisModule_StringToLongLong(arg, &count) != REDISMODULE_OK || count < 0 ||
        count > rest->argc / 2)
        return call_error(call, ERROR_SYNTAX);
    options->payloads = rest->argv;
    options->payloads_len = 2 * (int)count;
    rest->argv += options->payloads_len;
    rest->argc -= options->payloads_len;
    return call_check_payloads(call, options->payloads, options->payloads_len);
}

static bool read_nothing(struct call *call, struct rest *rest, struct options *options) {
    (void)call;
    (void)rest;
    (void)options;
    return true;
}

/* What is compared may be larger than what may be set by now: only empty it cannot be. */
static bool read_if_equal(struct call *call, struct rest *rest, struct options *options) {
    RedisModuleString *arg = next_argument(rest);
    if (!arg) return call_error(call, ERROR_SYNTAX);
    options->if_equal = server_bytes(arg);
    return options->if_equal.len > 0 || call_error(call, ERROR_IFEQ);
}

static bool read_seconds(struct call *call, struct rest *rest, struct options *options) {
    if (!read_whole_number(call, rest, 1, config.max_ttl, ERROR_EX, &options->life_ms))
        return false;
    options->life_ms *= 1000;
    return true;
}

static bool read_milliseconds(struct call *call, struct rest *rest, struct options *options) {
    return read_whole_number(call, rest, 1, config.max_ttl * 1000, ERROR_PX, &options->life_ms);
}

static const struct {
    const char *word;
    enum option option;
    bool (*read)(struct call *call, struct rest *rest, struct options *options);
} all[] = {
    {"MAXTTL", OPTION_MAXTTL, read_max_ttl}, {"TTL", OPTION_TTL, read_ttl},
    {"GRACE", OPTION_GRACE, read_grace},     {"NEWKEY", OPTION_NEWKEY, read_new_key},
    {"FORMAT", OPTION_FORMAT, read_format},  {"PAYLOADS", OPTION_PAYLOADS, read_payloads},
    {"LIMIT", OPTION_LIMIT, read_limit},     {"NX", OPTION_NX, read_nothing},
    {"XX", OPTION_XX, read_nothing},         {"IFEQ", OPTION_IFEQ, read_if_equal},
    {"EX", OPTION_EX, read_seconds},         {"PX", OPTION_PX, read_milliseconds},
};

/* The options that an option may not be given with. */
static unsigned rivals_of(enum option option) {
    if (option & OPTIONS_OF_CONDITION) return OPTIONS_OF_CONDITION;
    return option & OPTIONS_OF_LIFE ? OPTIONS_OF_LIFE : option;
}

static bool read_one(struct call *call, struct rest *rest, unsigned known,
                     struct options *options) {
    RedisModuleString *word = next_argument(rest);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!(all[i].option & known) || !call_is_option(word, all[i].word)) continue;
        if (rivals_of(all[i].option) & options->given) break;
        options->given |= all[i].option;
        return all[i].read(call, rest, options);
    }
    return call_error(call, ERROR_SYNTAX);
}

bool options_read(struct call *call, RedisModuleString **argv, int argc, unsigned known,
                  struct options *options) {
    struct rest rest = {argv, argc};
    while (rest.argc > 0)
        if (!read_one(call, &rest, known, options)) return false;
    return true;
}
