/*
 * config.c - the parameters of config.h: one table for arguments and for CONFIG.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "session.h"

/* The defaults are what SessionGate promises its clients; only an operator goes beyond. */
struct config config = {
    .max_ttl = CONFIG_TTL_MAX,
    .max_payload_name = CONFIG_NAME_PROMISED,
    .max_payload_size = 8000000,
    .max_payloads = SESSION_PAYLOADS_MAX,
    .max_owner_sessions = 1000,
    .token_format = TOKEN_V1,
};

static const struct number {
    const char *name;
    long long *value;
    long long max; /* what the structures can hold; the least is 1 */
} numbers[] = {
    {"max-ttl", &config.max_ttl, CONFIG_TTL_MAX},
    {"max-payload-name", &config.max_payload_name, SESSION_NAME_MAX},
    {"max-payload-size", &config.max_payload_size, SESSION_DATA_MAX},
    {"max-payloads", &config.max_payloads, SESSION_PAYLOADS_MAX},
    {"max-owner-sessions", &config.max_owner_sessions, CONFIG_OWNER_SESSIONS_MAX},
};
#define NUMBERS (sizeof numbers / sizeof *numbers)

#define TOKEN_FORMAT "token-format"
static const char *format_names[] = {"v1", "v2"};
static const int format_values[] = {TOKEN_V1, TOKEN_V2};

static long long get_number(const char *name, void *number) {
    (void)name;
    return *((const struct number *)number)->value;
}

static int set_number(const char *name, long long value, void *number, RedisModuleString **err) {
    (void)name;
    (void)err;
    *((const struct number *)number)->value = value; /* the server has checked the bounds */
    return REDISMODULE_OK;
}

static int get_format(const char *name, void *unused) {
    (void)name;
    (void)unused;
    return config.token_format;
}

static int set_format(const char *name, int value, void *unused, RedisModuleString **err) {
    (void)name;
    (void)unused;
    (void)err;
    config.token_format = value;
    return REDISMODULE_OK;
}

static bool take_number(RedisModuleCtx *ctx, const struct number *number, RedisModuleString *arg) {
    long long value;
    if (RedisModule_StringToLongLong(arg, &value) == REDISMODULE_OK && value >= 1 &&
        value <= number->max) {
        *number->value = value;
        return true;
    }
    RedisModule_Log(ctx, "warning", "the argument %s takes a whole number from 1 to %lld",
                    number->name, number->max);
    return false;
}

static bool take_format(RedisModuleCtx *ctx, RedisModuleString *arg) {
    const char *name = RedisModule_StringPtrLen(arg, NULL);
    for (int i = 0; i < 2; i++) {
        if (strcasecmp(name, format_names[i]) != 0) continue;
        config.token_format = format_values[i];
        return true;
    }
    RedisModule_Log(ctx, "warning", "the argument " TOKEN_FORMAT " takes v1 or v2");
    return false;
}

/* Takes one argument and its value. */
static bool take_argument(RedisModuleCtx *ctx, RedisModuleString *arg, RedisModuleString *value) {
    const char *name = RedisModule_StringPtrLen(arg, NULL);
    if (strcasecmp(name, TOKEN_FORMAT) == 0) return take_format(ctx, value);
    for (size_t i = 0; i < NUMBERS; i++)
        if (strcasecmp(name, numbers[i].name) == 0) return take_number(ctx, &numbers[i], value);
    RedisModule_Log(ctx, "warning", "there is no argument %s", name);
    return false;
}

static bool register_parameters(RedisModuleCtx *ctx) {
    for (size_t i = 0; i < NUMBERS; i++)
        if (RedisModule_RegisterNumericConfig(ctx, numbers[i].name, *numbers[i].value,
                                              REDISMODULE_CONFIG_DEFAULT, 1, numbers[i].max,
                                              get_number, set_number, NULL,
                                              (void *)&numbers[i]) != REDISMODULE_OK)
            return false;
    return RedisModule_RegisterEnumConfig(
               ctx, TOKEN_FORMAT, config.token_format, REDISMODULE_CONFIG_DEFAULT, format_names,
               format_values, 2, get_format, set_format, NULL, NULL) == REDISMODULE_OK &&
           RedisModule_LoadConfigs(ctx) == REDISMODULE_OK;
}

bool config_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc % 2 != 0) {
        RedisModule_Log(ctx, "warning", "arguments are pairs of a name and a value");
        return false;
    }
    for (int i = 0; i < argc; i += 2)
        if (!take_argument(ctx, argv[i], argv[i + 1])) return false;
    return !RedisModule_RegisterNumericConfig || register_parameters(ctx);
}
