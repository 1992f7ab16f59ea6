/*
 * owners.c - the commands on all sessions of an owner: OLIST, OEND. OSTART is in starts.c.
 */
#include "handlers.h"
#include "members.h"
#include "memory.h"
#include "owned.h"
#include "slots.h"
#include "stats.h"
#include "token.h"
#include "type.h"

/* Opens the owner of a call. False: the name holds something else. */
static bool open_owner(struct call *call, RedisModuleString *label, int mode,
                       RedisModuleKey **key) {
    *key = RedisModule_OpenKey(call->ctx, label, mode);
    return owner_of(*key) || RedisModule_KeyType(*key) == REDISMODULE_KEYTYPE_EMPTY ||
           call_error(call, ERROR_WRONG_TYPE);
}

static const struct tokenlist *tokens_of(RedisModuleKey *key) {
    static const struct tokenlist none;
    const struct owner *owner = owner_of(key);
    return owner ? &owner->tokens : &none;
}

int cmd_olist(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes label;
    struct members members = {0};
    RedisModuleKey *key = NULL;
    bool good = call_begin(&call, ctx, argv) && call_check_owner(&call, argv[2], &label) &&
                open_owner(&call, argv[2], CALL_READ, &key) &&
                members_find(&call, argv[2], tokens_of(key), false, &members);
    if (good) {
        RedisModule_ReplyWithArray(ctx, (long)members.mine_len);
        for (size_t i = 0; i < members.mine_len; i++)
            RedisModule_ReplyWithString(ctx, members.mine[i].token);
    }
    members_free(ctx, &members);
    RedisModule_CloseKey(key);
    return good ? call_end(&call) : call_refuse(&call);
}

/* Opens the session that OEND is to keep, by its token or one in its grace. False: there is no such
 * session of the owner. A token of another slot is never opened. */
static bool open_kept(struct call *call, RedisModuleString *label_arg, RedisModuleString *arg) {
    struct bytes label = server_bytes(label_arg), token = server_bytes(arg);
    if (token_has_form(token.at, token.len) && !owner_may_have(label, token)) {
        enum error error = token_verify(token.at, token.len, call->sign_key.at, call->sign_key.len);
        return call_error(call, error == ERROR_NONE ? ERROR_NO_SESSION : error);
    }
    if (!call_open_token(call, arg, CALL_READ)) return false;
    if (!call->session && slots_is_split(call->ctx, label_arg, call_token(call)))
        return call_error(call, ERROR_TRY_AGAIN);
    if (!call_requires_session(call)) return false;
    return (owner_is_named(call->session, label) &&
            owner_may_have(label, server_bytes(call_token(call)))) ||
           call_error(call, ERROR_NO_SESSION);
}

static bool check_keep(struct call *call, RedisModuleString **argv, int argc) {
    if (argc == 3) return true;
    if (argc != 5 || !call_is_option(argv[3], "KEEP")) return call_error(call, ERROR_SYNTAX);
    return open_kept(call, argv[2], argv[4]);
}

/* Ends what was found, but the session to keep (or NULL), and closes the list: listeners may be
 * modules that delete it. Returns how many sessions it ended. */
static size_t end_found(RedisModuleCtx *ctx, RedisModuleString *label, RedisModuleKey *key,
                        const struct members *members, RedisModuleString *kept) {
    struct owner *owner = owner_of(key);
    struct leavers leavers = leavers_of(members, members->mine_len, kept);
    bool is_unlisted = kept && !(owner && tokenlist_has(&owner->tokens, server_bytes(kept).at));
    bool changes = leavers.ended.len > 0 || leavers.dead.len > 0 || is_unlisted;
    if (changes) {
        if (!owner) owner = owner_create(key);
        leavers_end(ctx, server_bytes(label), owner, &leavers);
        if (is_unlisted) tokenlist_add(&owner->tokens, server_bytes(kept).at);
        struct effects_list list = {label, owned_settle(ctx, label, key)};
        effects_oend(ctx, list, kept, leavers.ended, leavers.dead);
    }
    RedisModule_CloseKey(key);
    if (changes && server_signals_explicitly()) RedisModule_SignalModifiedKey(ctx, label);
    leavers_tell(ctx, &leavers);
    leavers_free(&leavers);
    return leavers.ended.len;
}

int cmd_oend(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes label;
    struct members members = {0};
    RedisModuleKey *key = NULL;
    bool good = call_begin(&call, ctx, argv) && call_check_owner(&call, argv[2], &label) &&
                check_keep(&call, argv, argc) &&
                open_owner(&call, argv[2], REDISMODULE_READ | REDISMODULE_WRITE, &key) &&
                members_find(&call, argv[2], tokens_of(key), true, &members);
    if (good) {
        RedisModuleString *kept = argc == 5 ? call_token(&call) : NULL;
        size_t ended = end_found(ctx, argv[2], key, &members, kept);
        RedisModule_ReplyWithLongLong(ctx, (long long)ended);
    } else {
        RedisModule_CloseKey(key);
    }
    members_free(ctx, &members);
    return good ? call_end(&call) : call_refuse(&call);
}
