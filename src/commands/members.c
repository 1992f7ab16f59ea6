/*
 * members.c - the search of members.h.
 */
#include "members.h"

#include <stdlib.h>

#include "memory.h"
#include "slots.h"
#include "stats.h"
#include "token.h"
#include "type.h"

static int compare_starts(const void *a, const void *b) {
    const struct member *one = a, *other = b;
    if (one->created_ms != other->created_ms) return one->created_ms < other->created_ms ? -1 : 1;
    return one->place < other->place ? -1 : 1;
}

/* Looks under one token. False: there is nothing at all. */
static bool look_under(struct call *call, struct bytes label, RedisModuleString *token,
                       size_t place, struct members *members) {
    RedisModuleKey *key = RedisModule_OpenKey(call->ctx, token, REDISMODULE_READ);
    struct session *session = type_session(key);
    bool is_there = RedisModule_KeyType(key) != REDISMODULE_KEYTYPE_EMPTY;
    if (!owner_is_named(session, label)) {
        members->dead[members->dead_len++] = token;
    } else {
        struct bytes name = server_bytes(token);
        bool is_mine = token_verify_once(&session->verified, name.at, name.len, call->sign_key.at,
                                         call->sign_key.len) == ERROR_NONE;
        if (is_mine)
            members->mine[members->mine_len++] =
                (struct member){token, session->times.created_ms, place};
        else
            RedisModule_FreeString(call->ctx, token);
        members->others += !is_mine;
    }
    RedisModule_CloseKey(key);
    return is_there;
}

/* Whether what is absent is nowhere else. */
static bool is_whole(struct call *call, RedisModuleString *label, RedisModuleString *absent,
                     bool to_write) {
    if (!absent || !slots_exist()) return true;
    enum error error = to_write ? slots_serve_both(call->ctx, label, absent)
                                : slots_serve_reads(call->ctx, label, absent);
    return error != ERROR_NO_SLOT || call_error(call, ERROR_TRY_AGAIN);
}

bool members_find(struct call *call, RedisModuleString *label, const struct tokenlist *tokens,
                  bool to_write, struct members *members) {
    struct bytes name = server_bytes(label);
    RedisModuleString *absent = NULL;
    *members = (struct members){0};
    members->mine = memory.alloc(tokens->len * sizeof *members->mine);
    members->dead = memory.alloc(tokens->len * sizeof(RedisModuleString *));
    for (uint32_t place = 0; place < tokens->len; place++) {
        char token[TOKEN_V2_LEN];
        tokenlist_get(tokens, place, token);
        RedisModuleString *arg = RedisModule_CreateString(call->ctx, token, sizeof token);
        if (!owner_may_have(name, server_bytes(arg)))
            members->dead[members->dead_len++] = arg;
        else if (!look_under(call, name, arg, place, members) && !absent)
            absent = arg;
    }
    qsort(members->mine, members->mine_len, sizeof *members->mine, compare_starts);
    return is_whole(call, label, absent, to_write);
}

void members_free(RedisModuleCtx *ctx, struct members *members) {
    for (size_t i = 0; i < members->mine_len; i++)
        RedisModule_FreeString(ctx, members->mine[i].token);
    for (size_t i = 0; i < members->dead_len; i++) RedisModule_FreeString(ctx, members->dead[i]);
    memory.free(members->mine);
    memory.free(members->dead);
}

struct leavers leavers_of(const struct members *members, size_t most,
                          const RedisModuleString *kept) {
    struct leavers leavers = {.dead = {members->dead, members->dead_len}};
    struct strings *ended = &leavers.ended;
    ended->at = memory.alloc(members->mine_len * sizeof *ended->at);
    for (size_t i = 0; i < members->mine_len && ended->len < most; i++) {
        RedisModuleString *token = members->mine[i].token;
        bool is_kept = kept && RedisModule_StringCompare(token, (RedisModuleString *)kept) == 0;
        if (!is_kept) ended->at[ended->len++] = token;
    }
    return leavers;
}

void leavers_free(struct leavers *leavers) {
    memory.free(leavers->ended.at);
}

static void take_from(struct owner *owner, struct strings tokens) {
    for (size_t i = 0; i < tokens.len; i++)
        tokenlist_remove(&owner->tokens, server_bytes(tokens.at[i]).at);
}

void leavers_end(RedisModuleCtx *ctx, struct bytes label, struct owner *owner,
                 const struct leavers *leavers) {
    for (size_t i = 0; i < leavers->ended.len; i++) owner_end(ctx, label, leavers->ended.at[i]);
    take_from(owner, leavers->ended);
    take_from(owner, leavers->dead);
    stats.sessions_ended += leavers->ended.len;
}

void leavers_tell(RedisModuleCtx *ctx, const struct leavers *leavers) {
    for (size_t i = 0; i < leavers->ended.len; i++)
        call_key_changed(ctx, leavers->ended.at[i], "sessiongate.end");
}
