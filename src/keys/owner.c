/*
 * owner.c - the methods of the data type "sgownedby", and what becomes of the sessions when a list
 * is evicted.
 *
 * RDB format 1 (the type's encoding version), written by rdb_save:
 *
 *     tokens    string    as they are in memory (tokenlist.h), one at least
 */
#include "owner.h"

#include "effects.h"
#include "memory.h"
#include "methods.h"
#include "slot.h"
#include "stats.h"
#include "token.h"
#include "type.h"

#define TYPE_NAME "sgownedby" /* nine characters, part of every RDB file: never change it */
#define RDB_FORMAT 1

static RedisModuleType *owner_type;

static struct owner *new_owner(void) {
    struct owner *owner = memory.alloc(sizeof *owner);
    *owner = (struct owner){.prune_at = owner_prune_at(0)};
    return owner;
}

struct owner *owner_of(RedisModuleKey *key) {
    if (RedisModule_ModuleTypeGetType(key) != owner_type) return NULL;
    return RedisModule_ModuleTypeGetValue(key);
}

struct owner *owner_create(RedisModuleKey *key) {
    struct owner *owner = new_owner();
    RedisModule_ModuleTypeSetValue(key, owner_type, owner);
    return owner;
}

bool owner_may_have(struct bytes label, struct bytes token) {
    return token.len == TOKEN_V2_LEN && token_may_be(token.at, token.len) &&
           slot_of(token.at, token.len) == slot_of_tagged(label.at, label.len);
}

bool owner_is_named(const struct session *session, struct bytes label) {
    return session && session_is_of(session, label.at, label.len);
}

/* Twice as many, so that looking costs each start a fixed share; and not before there are a few. */
uint32_t owner_prune_at(size_t living) {
    return living < 8 ? 16 : (uint32_t)(2 * living);
}

bool owner_end(RedisModuleCtx *ctx, struct bytes label, RedisModuleString *token) {
    RedisModuleKey *key = RedisModule_OpenKey(ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
    bool is_ours = owner_is_named(type_session(key), label);
    if (is_ours) type_remove(key);
    RedisModule_CloseKey(key);
    if (is_ours && server_signals_explicitly()) RedisModule_SignalModifiedKey(ctx, token);
    return is_ours;
}

static void free_value(void *value) {
    struct owner *owner = value;
    tokenlist_free(&owner->tokens);
    memory.free(owner);
}

static void *rdb_load(RedisModuleIO *rdb, int format) {
    if (!server_reads_format(rdb, "an owner", format, RDB_FORMAT)) return NULL;
    size_t len;
    char *bytes = RedisModule_LoadStringBuffer(rdb, &len);
    if (!bytes) return NULL;
    struct owner *owner = new_owner();
    bool good = tokenlist_load(&owner->tokens, (const uint8_t *)bytes, len);
    RedisModule_Free(bytes);
    if (good) {
        owner->prune_at = owner_prune_at(owner->tokens.len);
        return owner;
    }
    RedisModule_LogIOError(rdb, "warning", "a stored owner is damaged");
    free_value(owner);
    return NULL;
}

static void rdb_save(RedisModuleIO *rdb, void *value) {
    const struct tokenlist *tokens = &((struct owner *)value)->tokens;
    RedisModule_SaveStringBuffer(rdb, (const char *)tokens->packed,
                                 tokens->len * sizeof *tokens->packed);
}

static void aof_rewrite(RedisModuleIO *aof, RedisModuleString *key, void *value) {
    effects_rewrite_owner(aof, key, &((struct owner *)value)->tokens);
}

static size_t mem_usage(const void *value) {
    const struct owner *owner = value;
    return sizeof *owner + owner->tokens.len * sizeof *owner->tokens.packed;
}

static void digest_value(RedisModuleDigest *digest, void *value) {
    const struct tokenlist *tokens = &((struct owner *)value)->tokens;
    RedisModule_DigestAddStringBuffer(digest, (const char *)tokens->packed,
                                      tokens->len * sizeof *tokens->packed);
    RedisModule_DigestEndSequence(digest);
}

static void *copy_of(const struct owner *owner) {
    struct owner *copy = new_owner();
    copy->tokens = tokenlist_copy(&owner->tokens);
    copy->prune_at = owner->prune_at;
    return copy;
}

static void *copy_value(RedisModuleString *from, RedisModuleString *to, const void *value) {
    (void)from;
    (void)to;
    return copy_of(value);
}

static int defrag_value(RedisModuleDefragCtx *ctx, RedisModuleString *key, void **value) {
    (void)key;
    void *moved = RedisModule_DefragAlloc(ctx, *value);
    if (moved) *value = moved;
    struct tokenlist *tokens = &((struct owner *)*value)->tokens;
    moved = tokens->packed ? RedisModule_DefragAlloc(ctx, tokens->packed) : NULL;
    if (moved) tokens->packed = moved;
    return 0;
}

/*
 * Eviction. "All sessions of this owner are ended" must not miss those of a list that the server
 * evicted: they end with it. The event of an eviction comes when the list is gone already, so the
 * list is kept that was unlinked last, whatever it was unlinked for.
 */

static struct {
    RedisModuleString *label;
    struct owner *owner;
} unlinked;

static void forget_unlinked(void) {
    if (!unlinked.label) return;
    RedisModule_FreeString(NULL, unlinked.label);
    free_value(unlinked.owner);
    unlinked.label = NULL;
}

static void unlink_value(RedisModuleString *key, const void *value) {
    forget_unlinked();
    unlinked.label = RedisModule_CreateStringFromString(NULL, key);
    unlinked.owner = copy_of(value);
}

/* Ends the sessions of a list that is gone, by one effect. */
static void end_orphans(RedisModuleCtx *ctx, RedisModuleString *label,
                        const struct tokenlist *tokens) {
    RedisModuleString **ended = memory.alloc(tokens->len * sizeof(RedisModuleString *));
    size_t ended_len = 0;
    char token[TOKEN_V2_LEN];
    for (uint32_t place = 0; place < tokens->len; place++) {
        tokenlist_get(tokens, place, token);
        if (!owner_may_have(server_bytes(label), (struct bytes){token, sizeof token})) continue;
        RedisModuleString *name = RedisModule_CreateString(ctx, token, sizeof token);
        if (owner_end(ctx, server_bytes(label), name))
            ended[ended_len++] = name;
        else
            RedisModule_FreeString(ctx, name);
    }
    if (ended_len > 0) {
        effects_oend(ctx, (struct effects_list){label, 0}, NULL, (struct strings){ended, ended_len},
                     (struct strings){0});
        stats.tokens_evicted += ended_len;
    }
    for (size_t i = 0; i < ended_len; i++) RedisModule_FreeString(ctx, ended[i]);
    memory.free(ended);
}

static int on_evicted(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *key) {
    (void)type;
    (void)event;
    if (!unlinked.label || RedisModule_StringCompare(unlinked.label, key) != 0)
        return REDISMODULE_OK;
    end_orphans(ctx, key, &unlinked.owner->tokens);
    forget_unlinked();
    return REDISMODULE_OK;
}

bool owner_register(RedisModuleCtx *ctx) {
    RedisModuleTypeMethods methods = {METHODS_OF_ALL, .unlink = unlink_value};
    owner_type = RedisModule_CreateDataType(ctx, TYPE_NAME, RDB_FORMAT, &methods);
    if (RedisModule_SubscribeToKeyspaceEvents)
        RedisModule_SubscribeToKeyspaceEvents(ctx, REDISMODULE_NOTIFY_EVICTED, on_evicted);
    return owner_type != NULL;
}
