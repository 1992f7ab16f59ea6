/*
 * alias.c - the methods of the data type "sgrotated".
 *
 * RDB format 1 (the type's encoding version), written by rdb_save:
 *
 *     successor  string    the token that took this one's place
 */
#include "alias.h"

#include <string.h>

#include "effects.h"
#include "memory.h"
#include "methods.h"

#define TYPE_NAME "sgrotated" /* nine characters, part of every RDB file: never change it */
#define RDB_FORMAT 1

static RedisModuleType *alias_type;

/* A new alias of successor, or NULL when that has not the form of a token. */
static struct alias *alias_made_of(const char *successor, size_t successor_len) {
    if (!token_has_form(successor, successor_len)) return NULL;
    struct alias *alias = memory.alloc(sizeof *alias);
    memset(alias, 0, sizeof *alias);
    alias->successor_len = (uint8_t)successor_len;
    memcpy(alias->successor, successor, successor_len);
    return alias;
}

struct alias *alias_of(RedisModuleKey *key) {
    if (RedisModule_ModuleTypeGetType(key) != alias_type) return NULL;
    return RedisModule_ModuleTypeGetValue(key);
}

bool alias_create(RedisModuleKey *key, struct bytes successor) {
    struct alias *alias = alias_made_of(successor.at, successor.len);
    if (!alias) return false;
    RedisModule_ModuleTypeSetValue(key, alias_type, alias);
    return true;
}

static void *rdb_load(RedisModuleIO *rdb, int format) {
    if (!server_reads_format(rdb, "a rotated token", format, RDB_FORMAT)) return NULL;
    size_t len;
    char *successor = RedisModule_LoadStringBuffer(rdb, &len);
    struct alias *alias = successor ? alias_made_of(successor, len) : NULL;
    RedisModule_Free(successor);
    if (!alias) RedisModule_LogIOError(rdb, "warning", "a stored rotated token is damaged");
    return alias;
}

static void rdb_save(RedisModuleIO *rdb, void *value) {
    const struct alias *alias = value;
    RedisModule_SaveStringBuffer(rdb, alias->successor, alias->successor_len);
}

static void aof_rewrite(RedisModuleIO *aof, RedisModuleString *key, void *value) {
    const struct alias *alias = value;
    effects_rewrite_alias(aof, key,
                          (struct bytes){.at = alias->successor, .len = alias->successor_len});
}

static void free_value(void *value) {
    memory.free(value);
}

static size_t mem_usage(const void *value) {
    return sizeof *(const struct alias *)value;
}

static void digest_value(RedisModuleDigest *digest, void *value) {
    const struct alias *alias = value;
    RedisModule_DigestAddStringBuffer(digest, alias->successor, alias->successor_len);
    RedisModule_DigestEndSequence(digest);
}

static void *copy_value(RedisModuleString *from, RedisModuleString *to, const void *value) {
    (void)from;
    (void)to;
    const struct alias *alias = value;
    return alias_made_of(alias->successor, alias->successor_len);
}

static int defrag_value(RedisModuleDefragCtx *ctx, RedisModuleString *key, void **value) {
    (void)key;
    void *moved = RedisModule_DefragAlloc(ctx, *value);
    if (moved) *value = moved;
    return 0;
}

bool alias_register(RedisModuleCtx *ctx) {
    RedisModuleTypeMethods methods = {METHODS_OF_ALL};
    alias_type = RedisModule_CreateDataType(ctx, TYPE_NAME, RDB_FORMAT, &methods);
    return alias_type != NULL;
}
