/*
 * owned.c - the steps of owned.h.
 */
#include "owned.h"

#include "config.h"
#include "slots.h"
#include "token.h"
#include "type.h"

/* Opens the list's key, if the call's session can be in a list. False: there is no list in it. */
static bool open_list(struct owned *owned, struct call *call) {
    *owned = (struct owned){.ctx = call->ctx};
    const struct session *session = call->session;
    struct bytes label = {session->owner, session->owner_len};
    if (label.len == 0 || !owner_may_have(label, server_bytes(call_token(call)))) return false;
    owned->label = RedisModule_CreateString(call->ctx, label.at, label.len);
    owned->reach = owned_reach(&session->times, type_expires_at(call->key));
    owned->key = RedisModule_OpenKey(call->ctx, owned->label, REDISMODULE_READ | REDISMODULE_WRITE);
    return owner_of(owned->key);
}

/* Where the name of the list holds something else, the session goes on without one. */
bool owned_open(struct owned *owned, struct call *call) {
    if (open_list(owned, call) || !owned->label) return true;
    if (RedisModule_KeyType(owned->key) != REDISMODULE_KEYTYPE_EMPTY) {
        owned_close(owned);
        return true;
    }
    if (!slots_exist()) return true;
    enum error error = slots_serve_both(call->ctx, call_token(call), owned->label);
    if (error == ERROR_NONE) return true;
    owned_close(owned);
    return call_error(call, error == ERROR_NO_SLOT ? ERROR_TRY_AGAIN : error);
}

void owned_open_to_end(struct owned *owned, struct call *call) {
    if (!open_list(owned, call)) owned_close(owned);
}

/* The longest life that anything here can have, for a session whose expiry was taken away by hand.
 */
static long long without_end(void) {
    return RedisModule_Milliseconds() + CONFIG_TTL_MAX * 1000;
}

long long owned_reach(const struct session_times *times, long long expire_at) {
    if (expire_at == TYPE_NO_EXPIRY) return without_end();
    long long reach = expire_at + (long long)times->ttl * 1000;
    bool is_cut = times->deadline_ms && times->deadline_ms < reach;
    if (!is_cut) return reach;
    return times->deadline_ms > expire_at ? times->deadline_ms : expire_at;
}

/* Until when a list lives for the sake of what is under a token; 0: no session of the owner. */
static long long reach_of(RedisModuleKey *key, struct bytes label) {
    const struct session *session = type_session(key);
    return owner_is_named(session, label) ? owned_reach(&session->times, type_expires_at(key)) : 0;
}

/* Until when a list has to live for its sessions' sake; 0: none of them lives; LIFE_UNKNOWN: while
 * the slot moves, some may be on the other node. */
#define LIFE_UNKNOWN (-1LL)
static long long life_of(RedisModuleCtx *ctx, RedisModuleString *label,
                         const struct tokenlist *tokens) {
    long long life = 0;
    RedisModuleString *absent = NULL; /* the first; where one is nowhere else, so is each */
    char token[TOKEN_V2_LEN];
    for (uint32_t place = 0; place < tokens->len; place++) {
        tokenlist_get(tokens, place, token);
        if (!owner_may_have(server_bytes(label), (struct bytes){token, sizeof token})) continue;
        RedisModuleString *name = RedisModule_CreateString(ctx, token, sizeof token);
        RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ);
        long long reach = reach_of(key, server_bytes(label));
        if (reach > life) life = reach;
        bool is_absent = RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY;
        RedisModule_CloseKey(key);
        if (is_absent && !absent)
            absent = name;
        else
            RedisModule_FreeString(ctx, name);
    }
    if (!absent) return life;
    bool is_split = slots_is_split(ctx, label, absent);
    RedisModule_FreeString(ctx, absent);
    return is_split ? LIFE_UNKNOWN : life;
}

/* A list of none that lives is over now: it expires at once, on replicas too, which have its
 * tokens. */
long long owned_settle(RedisModuleCtx *ctx, RedisModuleString *label, RedisModuleKey *key) {
    const struct owner *owner = owner_of(key);
    if (owner->tokens.len == 0) {
        type_remove(key);
        return 0;
    }
    long long life = life_of(ctx, label, &owner->tokens);
    if (life == LIFE_UNKNOWN) return type_expires_at(key);
    if (life == 0) life = RedisModule_Milliseconds();
    type_expire_at(key, life);
    return life;
}

/* The list was changed, and lives until then. */
static void set_life(struct owned *owned, long long expire_at) {
    type_expire_at(owned->key, expire_at);
    owned->change = (struct effects_list){owned->label, expire_at};
}

/* The list under the key, made where there is none. */
static struct owner *list_of(struct owned *owned) {
    struct owner *owner = owner_of(owned->key);
    return owner ? owner : owner_create(owned->key);
}

void owned_moved(struct owned *owned, RedisModuleString *token, RedisModuleString *successor,
                 const struct session_times *times, long long expire_at) {
    if (!owned->label) return;
    struct owner *owner = list_of(owned);
    const char *name = server_bytes(successor).at;
    bool is_listed = tokenlist_has(&owner->tokens, name);
    tokenlist_replace(&owner->tokens, server_bytes(token).at, name);
    long long life = type_expires_at(owned->key), now_reaches = owned_reach(times, expire_at);
    /* It may have been this session that the list had to live for, and it needs less now. */
    bool may_shrink = now_reaches < owned->reach && life <= owned->reach;
    long long needed = life == TYPE_NO_EXPIRY || may_shrink
                           ? life_of(owned->ctx, owned->label, &owner->tokens)
                           : 0;
    if (needed > 0)
        set_life(owned, needed);
    else if (life != TYPE_NO_EXPIRY && (expire_at == TYPE_NO_EXPIRY || expire_at > life))
        set_life(owned, now_reaches);
    else if (!is_listed)
        set_life(owned, life);
}

void owned_keep(struct owned *owned, RedisModuleString *token, const struct session_times *times,
                long long expire_at) {
    owned_moved(owned, token, token, times, expire_at);
}

void owned_gone(struct owned *owned, RedisModuleString *token) {
    struct owner *owner = owned->label ? owner_of(owned->key) : NULL;
    if (!owner) return;
    tokenlist_remove(&owner->tokens, server_bytes(token).at);
    long long life = type_expires_at(owned->key);
    if (owner->tokens.len == 0 || life <= owned->reach)
        life = owned_settle(owned->ctx, owned->label, owned->key);
    owned->change = (struct effects_list){owned->label, life};
}

void owned_close(struct owned *owned) {
    if (!owned->label) return;
    RedisModule_CloseKey(owned->key);
    if (owned->change.owner && server_signals_explicitly())
        RedisModule_SignalModifiedKey(owned->ctx, owned->label);
    RedisModule_FreeString(owned->ctx, owned->label);
    owned->label = NULL;
}
